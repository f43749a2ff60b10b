// SPDX-License-Identifier: MIT
//
// What of a project is staged: changes of data that no list of changes names yet.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fs/engine.h"
#include "meta/keys.h"

namespace projfs::snapshot {

struct StagedChanges {
  // Of each inode with staged records, the ranges that these touch, in order and disjoint.
  using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  std::map<Ino, Ranges> inodes;

  [[nodiscard]] bool has(Ino ino) const { return inodes.contains(ino); }
  // The keys of these inodes' records, in order.
  [[nodiscard]] std::vector<std::string> keys(meta::ProjectNo project) const;
};

// All that is staged and not in the index when this returns is in it; what was acknowledged
// meanwhile may be.
[[nodiscard]] StagedChanges staged_changes(const fs::Engine& engine, meta::ProjectNo project);

}  // namespace projfs::snapshot
