// SPDX-License-Identifier: MIT
//
// The blocks known to be unreadable: remembered across restarts, never deduplicated against.
// Thread safety: any thread.
#pragma once

#include <rocksdb/write_batch.h>
#include <atomic>
#include <set>
#include <shared_mutex>
#include <utility>

#include "chunk/record.h"
#include "projfs/database.h"

namespace projfs::chunks {

class Damage {
 public:
  explicit Damage(Database& db) : db_(db) {}
  Status load();

  [[nodiscard]] bool contains(const BlockPlace& block) const;
  // Remembers the block; true if it was not known.
  bool mark(const BlockPlace& block);
  // Forgets a pack that is gone: puts that into `batch`.
  void forget_pack(rocksdb::WriteBatch& batch, std::uint64_t pack);
  [[nodiscard]] std::size_t count() const { return count_.load(); }

 private:
  Database& db_;
  std::atomic<std::size_t> count_{0};
  mutable std::shared_mutex mutex_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> blocks_;  // pack, offset
};

}  // namespace projfs::chunks
