// SPDX-License-Identifier: MIT
//
// The verbs of projfs-admin that operate what is there: starting and stopping, states, figures.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "verbs.h"

namespace projfs {

class OperationCommands {
 public:
  using On = std::function<void(CLI::App* verb, std::function<int()> action)>;
  // Adds the verbs to `app`. `call` and `on` are used when one of them runs, and must outlive this.
  OperationCommands(CLI::App& app, const Call& call, const On& on);

 private:
  void add_lifecycle(CLI::App& app, const On& on);
  CLI::App* add_about_project(CLI::App& app, const char* verb, const char* help);
  [[nodiscard]] nlohmann::json request(const char* verb) const {
    return {{"verb", verb}, {"id", id_}};
  }

  const Call& call_;
  std::string id_;
  bool force_ = false, no_save_ = false;
};

}  // namespace projfs
