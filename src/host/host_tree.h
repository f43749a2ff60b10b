// SPDX-License-Identifier: MIT
//
// What a tree copy reads of the host's file system. Every call works on a name in an open
// directory, so trees deeper than a path may be long are no problem.
#pragma once

#include <sys/types.h>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/tree_copy.h"
#include "projfs/result.h"

namespace projfs {

struct HostEntry {
  int dir = -1;  // an open directory
  std::string name;
  // A path for the calls that have no *at form.
  [[nodiscard]] std::string path() const {
    return "/proc/self/fd/" + std::to_string(dir) + "/" + name;
  }
};

// The names in an open directory, "." and ".." left out, in order of their bytes.
Result<std::vector<std::string>> host_names(int dir);
Result<std::string> host_link_target(const HostEntry& entry);
// Of the entry itself, also when it is a symbolic link.
Result<std::map<std::string, std::string>> host_attributes(const HostEntry& entry);
// How much there is below an open directory: totals only. What cannot be read counts as nothing.
CopyProgress count_host_tree(int dir, std::optional<dev_t> skip_device);

}  // namespace projfs
