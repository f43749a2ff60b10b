// SPDX-License-Identifier: MIT
#include "snapshot/staged_changes.h"

#include <algorithm>
#include <shared_mutex>

#include "fs/inode.h"

namespace projfs::snapshot {
namespace {

StagedChanges::Ranges joined(StagedChanges::Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  StagedChanges::Ranges out;
  for (const auto& r : ranges) {
    if (!out.empty() && r.first <= out.back().second) {
      out.back().second = std::max(out.back().second, r.second);
    } else {
      out.push_back(r);
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> StagedChanges::keys(meta::ProjectNo project) const {
  std::vector<std::string> out;
  out.reserve(inodes.size());
  for (const auto& [ino, ranges] : inodes) out.push_back(meta::inode_key(project, ino));
  return out;
}

// An inode with staged records is held by the ingester's queue and so is in the cache.
StagedChanges staged_changes(const fs::Engine& engine, meta::ProjectNo project) {
  StagedChanges found;
  for (const auto& inode : engine.inodes.of_project(project)) {
    const std::shared_lock lock(inode->mutex);
    if (inode->gone || (inode->staged.empty() && inode->frozen.empty())) continue;
    StagedChanges::Ranges ranges;
    const auto add = [&ranges](const fs::Overlay& overlay) {
      for (const auto& [begin, e] : overlay.entries()) ranges.emplace_back(e.begin, e.end);
    };
    add(inode->overlay);
    for (const auto& f : inode->frozen) add(f.overlay);
    found.inodes[inode->ino] = joined(std::move(ranges));
  }
  return found;
}

}  // namespace projfs::snapshot
