// SPDX-License-Identifier: MIT
//
// From chunk numbers to verified bytes. Thread safety: any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "chunk/core.h"

namespace projfs::chunks {

class BlockReader {
 public:
  explicit BlockReader(Core& core) : core_(core) {}

  Status read(std::span<const ChunkStore::Piece> pieces);
  // The block of a chunk, and the chunk's record as it is now in `record`: both follow a chunk that
  // is moved meanwhile. What turns out damaged is marked, and logged once.
  Result<BlockPtr> block_of(ChunkNo chunk, ChunkRecord& record, bool use_cache = true);
  // Marks the block of a chunk as damaged, says so in the log, returns the error for the reader.
  tl::unexpected<Error> damaged(ChunkNo chunk, const ChunkRecord& record, const Error& why);

 private:
  using Records = std::span<const std::optional<ChunkRecord>>;
  // Blocks that were read together, in the order in which they are wanted. Raw ones stay where they
  // were read to, until this thread reads its next run.
  struct Run {
    struct Part {
      BlockPlace place;
      BlockPtr block;
      Bytes bytes;
    };
    std::vector<Part> parts;
    std::size_t next = 0;
    [[nodiscard]] std::optional<Bytes> find(const BlockPlace& place);
  };
  Run load_run(Records wanted);
  std::optional<Bytes> bytes_ahead(Records wanted, Run& run);
  Result<BlockPtr> load(const BlockPlace& place, bool use_cache);
  Status copy(const ChunkStore::Piece& piece, ChunkRecord record, BlockPtr& block,
              BlockPlace& block_place);

  Core& core_;
};

}  // namespace projfs::chunks
