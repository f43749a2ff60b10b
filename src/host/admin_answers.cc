// SPDX-License-Identifier: MIT
#include "host/admin_answers.h"

#include "host/text.h"

namespace projfs {

using nlohmann::json;

namespace {

json limit_or_null(std::uint64_t value) {
  return value == kUnlimited ? json(nullptr) : json(value);
}

}  // namespace

json describe_quota(const ProjectInfo& info) {
  if (!info.problem.empty()) {
    const auto nothing = json{{"bytes", nullptr}, {"inodes", nullptr}, {"history_bytes", nullptr}};
    return {{"quota", nothing}, {"usage", nothing}};
  }
  return {{"quota",
           {{"bytes", limit_or_null(info.quota.bytes)},
            {"inodes", limit_or_null(info.quota.inodes)},
            {"history_bytes", limit_or_null(history_limit(info.quota))}}},
          {"usage",
           {{"bytes", info.usage.bytes},
            {"inodes", info.usage.inodes},
            {"history_bytes", info.usage.history_bytes}}}};
}

// A sentence where the engine gave an errno alone.
Error about_project(Error error, const std::string& id) {
  if (error.code == ENOENT)
    error.message = "no project has the id '" + id + "'; 'projfs-admin list' shows those there are";
  if (error.code == EEXIST)
    error.message = "the id '" + id + "' is taken; choose another, or destroy that project first";
  if (error.code == EINVAL) {
    error.message = "'" + id +
                    "' is not a project id; an id is 1 to 63 of a-z 0-9 . _ - and starts with a "
                    "letter or digit";
  }
  if (error.code == EBUSY && error.message.empty())
    error.message = "the project '" + id + "' is in use; stop what uses it first";
  return error;
}

json to_json(const Life& life) {
  return {{"state", name_of(life.state)},
          {"since", life.since_ns == 0 ? json(nullptr) : json(rfc3339(life.since_ns))},
          {"step", life.step ? json(*life.step) : json(nullptr)},
          {"progress", life.progress ? json(*life.progress) : json(nullptr)},
          {"error", life.error ? json(*life.error) : json(nullptr)}};
}

Error named(Error error, const std::string& id) {
  error.message = id + ": " + error.describe();
  return error;
}

}  // namespace projfs
