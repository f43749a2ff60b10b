// SPDX-License-Identifier: MIT
//
// Knows up to which change the index is durable, so that an fsync with nothing new costs nothing
// and concurrent ones share a sync.
#pragma once

#include <atomic>
#include <mutex>

#include "projfs/database.h"

namespace projfs::fs {

class IndexSync {
 public:
  explicit IndexSync(Database& db) : db_(db) {}

  // The position after everything committed so far.
  [[nodiscard]] std::uint64_t position() const { return db_.raw().GetLatestSequenceNumber(); }

  // Everything committed at or before `position` survives power loss on return.
  Status sync_to(std::uint64_t position) {
    if (position <= synced_.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(mutex_);
    if (position <= synced_.load(std::memory_order_acquire)) return {};
    const auto upto = this->position();
    PROJFS_TRY(db_.sync());
    synced_.store(upto, std::memory_order_release);
    ++count_;
    return {};
  }
  Status sync() { return sync_to(position()); }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  Database& db_;
  std::mutex mutex_;
  std::atomic<std::uint64_t> synced_{0};
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace projfs::fs
