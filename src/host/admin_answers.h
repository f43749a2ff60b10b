// SPDX-License-Identifier: MIT
//
// What the answers of several admin verbs have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "host/life_records.h"
#include "projfs/result.h"
#include "projfs/store.h"

namespace projfs {

// {"quota","usage"}; null for no limit, and for what is not known of a damaged project.
nlohmann::json describe_quota(const ProjectInfo& info);
// {"state","since","step","progress","error"}
nlohmann::json to_json(const Life& life);
// With a sentence where the engine gave an errno alone.
Error about_project(Error error, const std::string& id);
// With the id before its sentence.
Error named(Error error, const std::string& id);

}  // namespace projfs
