// SPDX-License-Identifier: MIT
//
// What staged records say about a file's content, over the extents in the index. Each byte range
// that a staged record touched has an entry; ranges without one are as the index says.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "projfs/stage.h"

namespace projfs::fs {

enum class PieceKind : std::uint8_t { kHole, kZero, kPrealloc, kChunk, kStaged };

struct OverlayEntry {
  std::uint64_t begin = 0, end = 0;
  PieceKind kind = PieceKind::kHole;  // never kChunk
  StageSeq seq = 0;                   // of the record that says so
  StageRef ref;                       // kStaged: where the data is
  std::uint32_t ref_offset = 0;       // and where in it `begin` is

  [[nodiscard]] OverlayEntry cut(std::uint64_t from, std::uint64_t to) const {
    OverlayEntry e = *this;
    e.begin = from;
    e.end = to;
    e.ref_offset += static_cast<std::uint32_t>(kind == PieceKind::kStaged ? from - begin : 0);
    return e;
  }
};

class Overlay {
 public:
  using Map = std::map<std::uint64_t, OverlayEntry>;  // by begin; disjoint

  [[nodiscard]] bool empty() const { return map_.empty(); }
  [[nodiscard]] std::size_t size() const { return map_.size(); }
  [[nodiscard]] const Map& entries() const { return map_; }
  [[nodiscard]] Map::const_iterator end() const { return map_.end(); }
  // The first entry that ends after `offset`.
  [[nodiscard]] Map::const_iterator find(std::uint64_t offset) const;

  void assign(const OverlayEntry& entry);
  void erase(std::uint64_t begin, std::uint64_t end);
  // Drops what records up to `seq` said: the index says it now.
  void drop_through(StageSeq seq);
  [[nodiscard]] std::vector<OverlayEntry> copy() const;

 private:
  Map map_;
};

}  // namespace projfs::fs
