// SPDX-License-Identifier: MIT
//
// Locks several inodes at once, in ascending number, whatever order they are named in.
#pragma once

#include <algorithm>
#include <mutex>
#include <vector>

#include "fs/inode.h"

namespace projfs::fs {

class InodeLocks {
 public:
  // Nulls and repetitions are passed over.
  explicit InodeLocks(std::vector<InodePtr> inodes) : inodes_(std::move(inodes)) {
    std::erase(inodes_, nullptr);
    std::sort(inodes_.begin(), inodes_.end(),
              [](const InodePtr& a, const InodePtr& b) { return a->ino < b->ino; });
    inodes_.erase(std::unique(inodes_.begin(), inodes_.end()), inodes_.end());
    for (const auto& i : inodes_) i->mutex.lock();
  }
  ~InodeLocks() {
    for (const auto& i : inodes_) i->mutex.unlock();
  }
  InodeLocks(const InodeLocks&) = delete;
  InodeLocks& operator=(const InodeLocks&) = delete;

 private:
  std::vector<InodePtr> inodes_;
};

}  // namespace projfs::fs
