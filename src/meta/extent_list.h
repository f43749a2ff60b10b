// SPDX-License-Identifier: MIT
//
// The extents of one segment of a file's map: a fixed logical range of kSegmentBytes. What no
// extent covers is a hole. Offsets are within the segment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/chunk_store.h"

namespace projfs::meta {

inline constexpr std::uint64_t kSegmentBytes = 1 << 20;

enum class ExtentKind : std::uint8_t {
  kChunk = 0,     // bytes of a chunk
  kZero = 1,      // zeros that were written
  kPrealloc = 2,  // zeros that were reserved: a hole for SEEK_DATA, allocated for quota
};

struct Extent {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  ExtentKind kind = ExtentKind::kChunk;
  ChunkNo chunk = 0;               // kChunk only
  std::uint32_t chunk_offset = 0;  // likewise: the extent may be a part of its chunk

  [[nodiscard]] std::uint32_t end() const { return offset + length; }
  friend bool operator==(const Extent&, const Extent&) = default;
};

// Sorted by offset, disjoint, each within the segment, none empty.
class ExtentList {
 public:
  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }
  [[nodiscard]] bool empty() const { return extents_.empty(); }

  // [begin, end) becomes a hole; extents that cross its edges are cut.
  void erase(std::uint32_t begin, std::uint32_t end);
  // `e` replaces whatever was in its range. Neighbours that continue each other are joined.
  void assign(const Extent& e);
  // The first extent that ends after `offset`.
  [[nodiscard]] std::vector<Extent>::const_iterator find(std::uint32_t offset) const;

  [[nodiscard]] std::string encode() const;
  static std::optional<ExtentList> decode(std::string_view data);
  friend bool operator==(const ExtentList&, const ExtentList&) = default;

 private:
  std::vector<Extent> extents_;
};

}  // namespace projfs::meta
