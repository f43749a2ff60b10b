// SPDX-License-Identifier: MIT
//
// The daemon's answers as people read them. Each takes the JSON document that --json would print.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace projfs {

std::string print_project(const nlohmann::json& project);
std::string print_projects(const nlohmann::json& projects);
std::string print_quota(const nlohmann::json& quota);
std::string print_store_status(const nlohmann::json& status);
std::string print_check(const nlohmann::json& report);
std::string print_copy(const nlohmann::json& outcome);
std::string print_stats(const nlohmann::json& stats);
std::string print_state(const nlohmann::json& state);
std::string print_snapshots(const nlohmann::json& snapshots);
std::string print_versions(const nlohmann::json& versions);
std::string print_change(const nlohmann::json& change);  // one line of a diff

// Columns as wide as what is in them, two spaces apart.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) { add(std::move(heads)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace projfs
