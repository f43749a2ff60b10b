// SPDX-License-Identifier: MIT
//
// From chunk numbers to verified bytes. Thread safety: any thread.
#pragma once

#include <span>

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
  Result<BlockPtr> load(const BlockPlace& place, bool use_cache);
  Status copy(const ChunkStore::Piece& piece, ChunkRecord record, BlockPtr& block,
              BlockPlace& block_place);

  Core& core_;
};

}  // namespace projfs::chunks
