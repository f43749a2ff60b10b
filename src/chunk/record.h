// SPDX-License-Identifier: MIT
//
// The records of the chunk index, byte for byte as docs/format.md has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "chunk/block.h"
#include "chunk/intervals.h"
#include "projfs/chunk_store.h"

namespace projfs::chunks {

// kChunks: chunk number (be64) -> this.
struct ChunkRecord {
  BlockPlace block;
  std::uint32_t offset = 0;  // in the block, uncompressed
  std::uint32_t length = 0;
  bool keyed = false;    // the hash is an HMAC: only its owner can recompute it
  bool indexed = false;  // kHashes leads here (else a twin came first and holds that place)
  ChunkHash hash;

  // The part of the block's stored bytes that this chunk answers for. The parts of all chunks of a
  // block add up to the block exactly.
  [[nodiscard]] std::uint64_t share() const {
    const std::uint64_t stored = block.stored;
    return stored * (offset + length) / block.raw - stored * offset / block.raw;
  }
  [[nodiscard]] std::string encode() const;
  static std::optional<ChunkRecord> decode(std::string_view data);
};

// kSystem "chunk.pack." + pack number (be64) -> this.
struct PackRecord {
  std::uint64_t end = 0;  // of the last committed block; whatever follows is garbage of a crash
  Intervals numbers;      // a superset of the chunk numbers in it
  static constexpr std::size_t kMostIntervals = 32;

  [[nodiscard]] std::string encode() const;
  static std::optional<PackRecord> decode(std::string_view data);
};

inline constexpr std::string_view kPackPrefix = "chunk.pack.";
// Value: the chunk numbers (Intervals) that a round of ingestion committed and that nobody may
// refer to yet.
inline constexpr std::string_view kIngestPrefix = "chunk.ingest.";
// Key ends in pack number and block offset (be64 each), empty value: this block failed to verify.
inline constexpr std::string_view kDamagedPrefix = "chunk.damaged.";
inline constexpr std::string_view kNextChunkKey = "chunk.next";  // be64
inline constexpr std::string_view kTotalsKey = "C";
inline constexpr char kPackCounterPrefix = 'P';

std::string number_key(std::uint64_t n);
std::string prefixed_key(std::string_view prefix, std::uint64_t n);
std::string damaged_key(const BlockPlace& block);
std::string pack_counter_key(std::uint64_t pack);
// kDead: chunk number, then a token that no two entries share, so that whoever removes the entry
// that it examined never removes one that came later.
std::string dead_key(ChunkNo chunk, std::uint64_t token);
std::string_view hash_key(const ChunkHash& hash);

// The first key that does not start with `prefix`.
std::string prefix_end(std::string prefix);

}  // namespace projfs::chunks
