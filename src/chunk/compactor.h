// SPDX-License-Identifier: MIT
//
// Gives the space of dead chunks back: moves what lives in a pack into the active one, then removes
// the pack. One call at a time. A crash at any step leaves either the old records with the old
// pack, or the new ones with both.
#pragma once

#include <mutex>
#include <set>

#include "chunk/block_reader.h"
#include "chunk/core.h"

namespace projfs::chunks {

class Compactor {
 public:
  Compactor(Core& core, BlockReader& reader) : core_(core), reader_(reader) {}

  Result<bool> compact(double dead_share);

 private:
  struct Move {
    ChunkNo chunk;
    ChunkRecord record;
  };

  Result<bool> remove_empty();
  [[nodiscard]] std::uint64_t choose(double dead_share) const;
  Status empty(std::uint64_t pack);
  Status commit(std::span<const Move> from, std::span<const ChunkRecord> to);

  Core& core_;
  BlockReader& reader_;
  std::mutex mutex_;
  std::set<std::uint64_t> stuck_;  // hold damaged chunks, which cannot be moved
};

}  // namespace projfs::chunks
