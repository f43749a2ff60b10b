// SPDX-License-Identifier: MIT
//
// The daemon's answers as people read them. Each takes the JSON document that --json would print.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace projfs {

std::string print_project(const nlohmann::json& project);
std::string print_projects(const nlohmann::json& projects);
std::string print_quota(const nlohmann::json& quota);
std::string print_store_status(const nlohmann::json& status);
std::string print_check(const nlohmann::json& report);
std::string print_copy(const nlohmann::json& outcome);
std::string print_stats(const nlohmann::json& stats);

}  // namespace projfs
