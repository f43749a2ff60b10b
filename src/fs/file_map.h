// SPDX-License-Identifier: MIT
//
// A file's content as pieces: the overlay of staged records over the extents in the index.
//
// REQUIRES everywhere: the inode's mutex is held, shared at least.
#pragma once

#include <functional>
#include <vector>

#include "fs/engine.h"
#include "meta/extent_list.h"

namespace projfs::fs {

inline constexpr std::uint64_t kEndOfRange = 1ull << 62;  // beyond any file

inline std::uint64_t block_floor(std::uint64_t v) { return v / kBlock * kBlock; }
inline std::uint64_t block_ceil(std::uint64_t v) { return (v + kBlock - 1) / kBlock * kBlock; }

struct Piece {
  std::uint64_t begin = 0, end = 0;
  PieceKind kind = PieceKind::kHole;
  ChunkNo chunk = 0;         // kChunk
  StageRef ref;              // kStaged
  std::uint32_t offset = 0;  // into the chunk or the staged data
};

// Returns false to stop.
using PieceVisitor = std::function<bool(const Piece&)>;

// The pieces of [begin, end), in order, without a gap.
Status for_each_piece(const Engine& engine, const Inode& inode, std::uint64_t begin,
                      std::uint64_t end, const PieceVisitor& visit);
// The same from a copy of an overlay, for content as it was when the copy was taken; `has_extents`
// is false if the index is known to hold none.
Status for_each_piece(const Project& project, Ino ino, const Overlay& overlay, bool has_extents,
                      std::uint64_t begin, std::uint64_t end, const PieceVisitor& visit);

// Bytes of the blocks in [begin, end) that hold anything but holes. REQUIRES: block-aligned.
Result<std::uint64_t> allocated_in(const Engine& engine, const Inode& inode, std::uint64_t begin,
                                   std::uint64_t end);

// Fills `out` with the bytes of these pieces, which must cover it from `offset` on.
Status read_pieces(const Engine& engine, const std::vector<Piece>& pieces, std::uint64_t offset,
                   MutableBytes out);

// The extents of one segment in the index.
Result<meta::ExtentList> load_segment(const Project& project, Ino ino, std::uint64_t segment);

}  // namespace projfs::fs
