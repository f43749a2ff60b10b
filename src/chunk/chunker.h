// SPDX-License-Identifier: MIT
//
// Content-defined chunking: a gear hash of the last 64 bytes decides where a chunk ends, so that an
// insertion moves only the boundaries next to it. The cut points are part of the format in effect
// (another choice deduplicates against nothing that exists), so they are deterministic and fixed.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "projfs/bytes.h"

namespace projfs::chunks {

// The gear table: SplitMix64 from this seed, one step per byte value. See docs/format.md.
inline constexpr std::uint64_t kGearSeed = 0x70726f6a66732031;  // "projfs 1"
extern const std::array<std::uint64_t, 256> kGear;

class Chunker {
 public:
  // REQUIRES: `average` is a power of two, 256 .. 1 MiB.
  explicit Chunker(std::uint32_t average);

  [[nodiscard]] std::uint32_t min_size() const { return min_; }
  [[nodiscard]] std::uint32_t max_size() const { return max_; }

  // Length of the first chunk of `data`; data.size() when no boundary comes before its end.
  [[nodiscard]] std::size_t next(Bytes data) const;
  [[nodiscard]] std::vector<std::uint32_t> cut(Bytes data) const;

 private:
  std::uint32_t min_;
  std::uint32_t normal_;
  std::uint32_t max_;
  std::uint64_t strict_;  // up to the normal size: boundaries are rarer than average
  std::uint64_t loose_;   // beyond it: more frequent, which narrows the spread of sizes
};

}  // namespace projfs::chunks
