// SPDX-License-Identifier: MIT
//
// A block: a run of neighbouring chunks as it stands in a pack. Header (24 bytes, little-endian):
//   0 magic "PJBK"  4 codec (0 raw, 1 zstd)  5 three zero bytes  8 payload bytes  12 raw bytes
//   16 checksum: XXH3-64 of the payload, seeded with XXH3-64 of (bytes 0..15 of the header, le64
//      pack number, le64 offset of the block), so that a block read from a wrong place is refused.
// Thread safety: any thread; each keeps its compression contexts for its life.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "projfs/bytes.h"
#include "projfs/result.h"

namespace projfs::chunks {

enum class Codec : std::uint8_t { kRaw = 0, kZstd = 1 };

inline constexpr std::size_t kBlockHeader = 24;

// Where a block is, and what it must be when read back.
struct BlockPlace {
  std::uint64_t pack = 0;
  std::uint64_t offset = 0;
  std::uint32_t stored = 0;  // header and payload
  std::uint32_t raw = 0;     // before compression
  friend bool operator==(const BlockPlace&, const BlockPlace&) = default;
};

// The bytes of an opened block.
class Block {
 public:
  explicit Block(std::uint32_t size)
      : data_(std::make_unique_for_overwrite<std::uint8_t[]>(size)), size_(size) {}
  [[nodiscard]] Bytes bytes() const { return {data_.get(), size_}; }
  [[nodiscard]] MutableBytes writable() { return {data_.get(), size_}; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::uint32_t size_;
};
using BlockPtr = std::shared_ptr<const Block>;

std::array<std::uint8_t, kBlockHeader> block_header(Codec codec, std::uint64_t pack,
                                                    std::uint64_t offset, std::uint32_t raw,
                                                    Bytes payload);

// Verifies and decompresses `stored` (header and payload), read from `place`. EIO with what is
// wrong.
Result<BlockPtr> open_block(const BlockPlace& place, Bytes stored);

// What open_block does in two steps. EIO: damaged. The payload stays in `stored`.
struct SealedBlock {
  Codec codec = Codec::kRaw;
  std::uint32_t raw = 0;
  Bytes payload;
};
Result<SealedBlock> verify_block(const BlockPlace& place, Bytes stored);
Result<BlockPtr> unpack(const SealedBlock& sealed);

// Compresses into `out` (replaced); false when that saves too little to be worth it.
Result<bool> compress(Bytes raw, int level, std::string& out);

// A cheap guess from samples: true for what is already compressed or encrypted.
[[nodiscard]] bool looks_incompressible(Bytes data);

}  // namespace projfs::chunks
