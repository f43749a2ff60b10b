// SPDX-License-Identifier: MIT
//
// The RocksDB database of a store: its column families by name, one tuning for all, and atomic
// batches. Knows nothing of what the keys mean; the layers that own a family document its schema in
// docs/format.md.
//
// After an error of commit() or sync() nobody knows what the log holds: both fail with EIO from
// then on, until the database is opened again. (RocksDB itself would abort the process.)
//
// Durability: a committed batch survives a kill of the process; it survives power loss after the
// next sync() (or when committed with sync = true). Batches become durable in commit order.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "projfs/result.h"

namespace projfs {

// One column family each. The names on disk are in database.cc; the order here is free.
enum class Family : std::uint8_t {
  kSystem,    // store-wide scalars and the project table
  kLive,      // newest version of every metadata record
  kHistory,   // older versions still visible to a snapshot
  kChanges,   // (project, epoch, key): what was first touched in an epoch
  kCounters,  // per-project and per-pack counters; values merge by adding int64 vectors
  kHashes,    // content hash -> chunk number
  kChunks,    // chunk number -> where its bytes are
  kRefs,      // chunk number -> reference count; values merge by adding
  kDead,      // chunk numbers whose count may have reached zero
};
inline constexpr std::size_t kFamilies = 9;

class Database {
 public:
  struct Options {
    std::uint64_t block_cache_bytes = 64ull << 20;
    std::uint64_t write_buffer_bytes = 64ull << 20;  // all families together
    rocksdb::Env* env = nullptr;                     // tests inject power loss; null: the real one
    bool create = false;                             // make a new database; fails if there is one
  };

  static Result<std::unique_ptr<Database>> open(const std::string& path, const Options& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // nullopt: no such key.
  Result<std::optional<std::string>> get(Family family, std::string_view key,
                                         const rocksdb::Snapshot* at = nullptr) const;
  // Commits all of `batch` at once, or nothing.
  Status commit(rocksdb::WriteBatch& batch, bool sync = false);
  // Every batch committed before this call survives power loss after it. Concurrent calls share
  // one sync.
  Status sync();
  // Iterator over a family; `upper` (exclusive, may be empty: none) must outlive the iterator.
  [[nodiscard]] std::unique_ptr<rocksdb::Iterator> scan(
      Family family, const rocksdb::Slice* upper = nullptr,
      const rocksdb::Snapshot* at = nullptr) const;

  [[nodiscard]] rocksdb::ColumnFamilyHandle* family(Family f) const {
    return handles_[static_cast<std::size_t>(f)];
  }
  [[nodiscard]] rocksdb::DB& raw() const { return *db_; }
  // Bytes of the memtables, the block cache and what table readers hold outside it.
  [[nodiscard]] std::uint64_t memory_bytes() const;
  // Moves everything from the log to tables, so that opening the store has nothing to replay.
  Status flush();
  // Bytes on disk: tables, and what the log holds that is not in tables yet. The log itself is a
  // file of fixed size that is reused.
  [[nodiscard]] std::uint64_t disk_bytes() const;

 private:
  Database() = default;
  [[nodiscard]] Status usable() const;
  Status kept(Status status);
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<rocksdb::WalFilter> log_filter_;
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles_{};
  std::shared_ptr<rocksdb::Cache> cache_;
  std::atomic<bool> failed_{false};
};

// A RocksDB status as ours: Corruption -> EIO, NoSpace -> ENOSPC, with RocksDB's own words.
[[nodiscard]] Status from_rocksdb(const rocksdb::Status& status, std::string_view what);

// Value of a counter record: a vector of int64 that merges by adding member by member.
// Encoded as zigzag varints; missing trailing members are zero.
inline constexpr std::size_t kMaxCounterMembers = 8;
using CounterVector = std::array<std::int64_t, kMaxCounterMembers>;
[[nodiscard]] std::string encode_counters(const CounterVector& values);
[[nodiscard]] std::optional<CounterVector> decode_counters(std::string_view data);

}  // namespace projfs
