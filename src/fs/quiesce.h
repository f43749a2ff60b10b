// SPDX-License-Identifier: MIT
//
// A lock that many share and that is rarely taken alone. Unlike std::shared_mutex (which on glibc
// prefers readers) it lets nobody new in once somebody wants it alone, so that closing an epoch
// waits for the changes under way and for no others. Not recursive, not even shared.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace projfs::fs {

class Quiesce {
 public:
  void lock_shared() {
    while (true) {
      if ((state_.fetch_add(1, std::memory_order_acquire) & kAlone) == 0) [[likely]]
        return;
      unlock_shared();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return (state_.load() & kAlone) == 0; });
    }
  }
  void unlock_shared() {
    if (state_.fetch_sub(1, std::memory_order_release) != (kAlone | 1)) [[likely]]
      return;
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  void lock() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return (state_.load() & kAlone) == 0; });
    state_.fetch_or(kAlone);
    changed_.wait(lock, [this] { return state_.load(std::memory_order_acquire) == kAlone; });
  }
  void unlock() {
    const std::lock_guard lock(mutex_);
    state_.fetch_and(~kAlone, std::memory_order_release);
    changed_.notify_all();
  }

 private:
  static constexpr std::uint64_t kAlone = 1ull << 63;
  std::atomic<std::uint64_t> state_{
      0};  // how many share it; kAlone: somebody wants or has it alone
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace projfs::fs
