// SPDX-License-Identifier: MIT
//
// What the store counts, exactly: for each pack its live chunks and their share of its bytes, and
// totals. Every batch that adds, moves or removes chunk records carries the change of these
// counters; the ledger mirrors them in memory, so asking costs nothing.
//
// Thread safety: stats-like reads from any thread; changes one at a time (the caller's commit
// lock).
#pragma once

#include <rocksdb/write_batch.h>
#include <map>
#include <mutex>
#include <vector>

#include "chunk/record.h"
#include "projfs/database.h"

namespace projfs::chunks {

struct Counts {
  std::int64_t chunks = 0;
  std::int64_t raw = 0;     // their lengths
  std::int64_t stored = 0;  // their shares of their blocks, see ChunkRecord::share()

  void add(const ChunkRecord& r, std::int64_t sign) {
    chunks += sign;
    raw += sign * static_cast<std::int64_t>(r.length);
    stored += sign * static_cast<std::int64_t>(r.share());
  }
  void add(const Counts& other) {
    chunks += other.chunks;
    raw += other.raw;
    stored += other.stored;
  }
  [[nodiscard]] std::string encode() const;
  static std::optional<Counts> decode(std::string_view data);
  friend bool operator==(const Counts&, const Counts&) = default;
};

// What one batch does to the counters.
class LedgerChange {
 public:
  void place(ChunkNo chunk, const ChunkRecord& record);
  void remove(const ChunkRecord& record);

 private:
  friend class Ledger;
  struct PackChange {
    Counts counts;
    std::uint64_t end = 0;
    Intervals numbers;
  };
  std::map<std::uint64_t, PackChange> packs_;
  Counts totals_;
};

class Ledger {
 public:
  struct PackEntry {
    Counts counts;
    PackRecord record;
  };

  explicit Ledger(Database& db) : db_(db) {}
  Status load(const rocksdb::Snapshot* at = nullptr);

  // Puts the change into `batch`; adopt() the same change once the batch is committed.
  void write(rocksdb::WriteBatch& batch, const LedgerChange& change) const;
  void adopt(const LedgerChange& change);
  // The same for a pack that is gone.
  void write_removal(rocksdb::WriteBatch& batch, std::uint64_t pack) const;
  void adopt_removal(std::uint64_t pack);

  [[nodiscard]] Counts totals() const;
  [[nodiscard]] std::map<std::uint64_t, PackEntry> packs() const;
  [[nodiscard]] std::vector<std::pair<std::uint64_t, Counts>> pack_counts() const;
  [[nodiscard]] PackEntry pack(std::uint64_t number) const;

 private:
  Database& db_;
  mutable std::mutex mutex_;  // guards the rest
  std::map<std::uint64_t, PackEntry> packs_;
  Counts totals_;
};

}  // namespace projfs::chunks
