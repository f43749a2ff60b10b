// SPDX-License-Identifier: MIT
//
// ChunkStore::Ingest: finds the chunks that exist, gathers the new ones, commits them. A chunk that
// exists but is damaged is written anew under its old number: that heals every reference to it.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "chunk/block_writer.h"
#include "chunk/core.h"

namespace projfs::chunks {

class IngestRound final : public ChunkStore::Ingest {
 public:
  explicit IngestRound(Core& core);
  ~IngestRound() override;
  IngestRound(const IngestRound&) = delete;
  IngestRound& operator=(const IngestRound&) = delete;

  Result<ChunkNo> add(Bytes data, const DedupScope& scope) override;
  Status finish() override;
  [[nodiscard]] Totals totals() const override;

 private:
  struct Pending {
    ChunkNo number = 0;
    ChunkRecord record;
    bool heals = false;
    bool twin = false;  // the hash index leads elsewhere from the first 16 bytes of its hash
  };
  struct HashOfHash {
    std::size_t operator()(const ChunkHash& h) const {
      std::size_t v;
      std::memcpy(&v, h.bytes.data(), sizeof v);
      return v;
    }
  };

  // Commits early beyond this many new chunks: bounds memory.
  static constexpr std::size_t kMostPending = 32 << 10;
  static constexpr std::size_t kBatch = 4096;
  static constexpr std::uint64_t kLease = 64;

  Result<ChunkNo> add_checked(Bytes data, const DedupScope& scope);
  Status finish_checked();
  Status commit(std::span<Pending> slice);
  // The chunk that a known run of neighbours continues with, if it has this hash; else 0.
  ChunkNo predicted(const ChunkHash& hash);
  Status look_ahead(ChunkNo found);
  ChunkNo new_number();

  Core& core_;
  BlockWriter writer_;
  Totals totals_;
  std::optional<Error> failed_;

  std::vector<Pending> pending_;
  std::unordered_map<ChunkHash, std::size_t, HashOfHash> pending_by_hash_;
  std::uint64_t seen_commits_;  // of Core::hash_commits, before the first look-up for `pending_`

  ChunkNo lease_next_ = 0, lease_end_ = 0;
  Intervals pins_;
  std::list<const Intervals*>::iterator registration_;
  Intervals committed_;       // new chunks, named by the marker
  std::uint64_t marker_ = 0;  // 0: none yet

  // Data that was stored in one go comes back in the same order: the records after a hit.
  std::vector<std::pair<ChunkNo, ChunkRecord>> run_;
  std::size_t run_at_ = 0;
  std::uint64_t run_removals_ = 0;
  ChunkNo last_found_ = 0;
};

}  // namespace projfs::chunks
