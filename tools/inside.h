// SPDX-License-Identifier: MIT
//
// What a project's user can reach without asking a daemon: the project that a path is in, its
// state, and the snapshots of the directories on the way. Works through `.snapshots` and the
// attribute user.projfs.status alone, so it needs no rights but those on the files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "projfs/result.h"

namespace projfs {

// The state of the project that `directory` is in. ENOENT with a sentence if it is in none.
Result<nlohmann::json> status_at(const std::string& directory);

// Where to look for a path in the snapshots, although part of it may have been removed since: the
// nearest directory that is still there, and the way from there on.
struct Place {
  std::string directory;  // exists
  std::string rest;       // relative to it; never empty
  // Where it is, or was, in the snapshot of that name.
  [[nodiscard]] std::string in(const std::string& snapshot) const {
    return directory + "/.snapshots/" + snapshot + "/" + rest;
  }
  [[nodiscard]] std::string now() const { return directory + "/" + rest; }
};
// EINVAL with a sentence for what has no place: the root of a project, a path inside a snapshot or
// outside of projects.
Result<Place> find_place(const std::string& path);

// The names in `.snapshots` of a directory, as the daemon lists them: oldest first.
Result<std::vector<std::string>> snapshot_names(const std::string& directory);
// What there is to know of one of them, as `snapshot list` has it.
Result<nlohmann::json> snapshot_at(const std::string& directory, const std::string& name);

// Every distinct version of the place, as the verb `versions` has it: newest first, each with the
// newest snapshot that holds it. A version is an inode with a size and a time of modification.
Result<nlohmann::json> versions_of(const Place& place);

}  // namespace projfs
