// SPDX-License-Identifier: MIT
//
// The verbs of projfs-admin about snapshots, clones and versions.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "verbs.h"

namespace projfs {

class SnapshotCommands {
 public:
  using On = std::function<void(CLI::App* verb, std::function<int()> action)>;
  // Adds the verbs to `app`. `call` and `on` are used when one of them runs, and must outlive this.
  SnapshotCommands(CLI::App& app, const Call& call, const On& on);

 private:
  void add_changes(CLI::App& snapshot, const On& on);
  void add_policy(CLI::App& snapshot, const On& on);
  CLI::App* add(CLI::App& snapshot, const char* verb, const char* help);
  CLI::App* add_named(CLI::App& snapshot, const char* verb, const char* help);

  int create();
  int diff();
  int rollback();
  int policy();
  int clone();
  [[nodiscard]] nlohmann::json request(const char* verb) const;

  const Call& call_;
  std::string id_, name_, other_, path_, keep_, every_, new_id_;
  std::optional<std::string> new_name_;
  bool dry_run_ = false, off_ = false, no_mount_ = false;
};

}  // namespace projfs
