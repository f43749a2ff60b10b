// SPDX-License-Identifier: MIT
//
// Recomputes everything the chunk store records about itself, at one database snapshot. Memory is
// bounded: chunk numbers are taken a range at a time.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "chunk/block_reader.h"
#include "chunk/core.h"

namespace projfs::chunks {

class Checker {
 public:
  using References = std::function<Status(const ChunkStore::ReferenceSink&)>;

  Checker(Core& core, BlockReader& reader) : core_(core), reader_(reader) {}

  Result<std::vector<ChunkProblem>> check(const rocksdb::Snapshot* at, const References& expected,
                                          bool read_data);

 private:
  static constexpr std::uint64_t kRange = 4 << 20;    // chunk numbers looked at together
  static constexpr std::size_t kMostProblems = 1000;  // a broken disk breaks a million things alike

  struct PackSeen {
    Counts counts;
    std::uint64_t end = 0;
  };

  void problem(std::string what);
  Status load_snapshot_state();
  Status check_range(ChunkNo first, const References& expected, bool read_data);
  Status check_chunks(std::span<const std::pair<ChunkNo, ChunkRecord>> run,
                      std::span<const std::int64_t> counts, bool read_data);
  void check_place(ChunkNo chunk, const ChunkRecord& record);
  void check_data(ChunkNo chunk, ChunkRecord record);
  Result<bool> is_candidate(ChunkNo chunk) const;
  Status check_hash_count();
  Status check_packs();
  Status check_mirrors();

  Core& core_;
  BlockReader& reader_;
  const rocksdb::Snapshot* at_ = nullptr;
  std::vector<ChunkProblem> problems_;
  std::size_t unreported_ = 0;

  ChunkNo next_ = 1;                                   // at the snapshot, as all that follows
  std::map<std::uint64_t, Ledger::PackEntry> ledger_;  // what the counters say
  Counts totals_;
  std::vector<Intervals> markers_;
  std::map<std::uint64_t, PackSeen> packs_;  // what the records say
  Counts seen_;
  std::uint64_t indexed_ = 0;

  // Blocks are visited nearly in order; a few are kept for chunks that were moved apart.
  std::vector<std::pair<BlockPlace, BlockPtr>> recent_;
  std::size_t recent_at_ = 0;
};

}  // namespace projfs::chunks
