// SPDX-License-Identifier: MIT
//
// Keeps syncs of RocksDB's log apart from a failure of writing it. RocksDB, as Debian builds it,
// aborts the process when SyncWAL() comes upon a log whose last write failed, and it tells the
// writer of the failure only after the log is in that state: another thread's sync cannot know.
#pragma once

#include <rocksdb/env.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace projfs {

class LogGate {
 public:
  // Held while the log is synced. Not owned: the log has failed, and must not be touched.
  [[nodiscard]] std::shared_lock<std::shared_mutex> enter() {
    std::shared_lock lock(mutex_);
    if (closed_) lock.unlock();
    return lock;
  }
  // The log failed: lets nobody in any more and waits for those who are.
  void close() {
    closed_ = true;
    const std::unique_lock lock(mutex_);
  }

 private:
  std::shared_mutex mutex_;
  std::atomic<bool> closed_{false};
};

// An Env whose logs close the gate before RocksDB hears that a write failed. No write may itself
// ask for a sync: it would hold what a sync inside the gate waits for.
class LogGateEnv final : public rocksdb::EnvWrapper {
 public:
  explicit LogGateEnv(std::unique_ptr<rocksdb::Env> base);
  [[nodiscard]] LogGate& gate() const { return *gate_; }

 private:
  const std::unique_ptr<rocksdb::Env> base_;
  const std::shared_ptr<LogGate> gate_;
};

}  // namespace projfs
