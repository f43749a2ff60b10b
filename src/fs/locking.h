// SPDX-License-Identifier: MIT
//
// Locks several inodes at once, in ascending number, whatever order they are named in.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <initializer_list>
#include <mutex>

#include "fs/inode.h"

namespace projfs::fs {

class InodeLocks {
 public:
  static constexpr std::size_t kMost = 6;

  // Nulls and repetitions are passed over.
  InodeLocks(std::initializer_list<InodePtr> inodes) {
    for (const auto& inode : inodes) {
      if (!inode || holds(*inode)) continue;
      auto place = count_++;
      for (; place > 0 && held_[place - 1]->ino > inode->ino; --place)
        held_[place] = std::move(held_[place - 1]);
      held_[place] = inode;
    }
    for (std::size_t i = 0; i < count_; ++i) held_[i]->mutex.lock();
    last_ = count_ != 0 ? held_[count_ - 1]->ino : 0;
  }
  ~InodeLocks() {
    for (std::size_t i = 0; i < count_; ++i) held_[i]->mutex.unlock();
  }
  InodeLocks(const InodeLocks&) = delete;
  InodeLocks& operator=(const InodeLocks&) = delete;

  // Locks one more, found out under the others. False: it comes before one of them in the order and
  // somebody has it; let go of all and lock anew with it among them. Null is passed over.
  [[nodiscard]] bool add(const InodePtr& inode) {
    if (!inode || holds(*inode)) return true;
    assert(count_ < kMost);
    if (inode->ino > last_) {
      inode->mutex.lock();
      last_ = inode->ino;
    } else if (!inode->mutex.try_lock()) {
      return false;
    }
    held_[count_++] = inode;
    return true;
  }

 private:
  [[nodiscard]] bool holds(const Inode& inode) const {
    return std::any_of(held_.begin(), held_.begin() + count_,
                       [&](const InodePtr& i) { return i.get() == &inode; });
  }

  std::array<InodePtr, kMost> held_;
  std::size_t count_ = 0;
  Ino last_ = 0;  // the highest number held
};

}  // namespace projfs::fs
