// SPDX-License-Identifier: MIT
//
// What a stage segment holds, byte by byte; docs/format.md says it in full.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "projfs/bytes.h"
#include "projfs/stage.h"

namespace projfs::stage {

inline constexpr std::uint32_t kFormatVersion = 1;

// The header is kept twice, in blocks of their own, so that rewriting one copy never endangers the
// other. Records start behind both.
inline constexpr std::uint64_t kHeaderSpacing = 4096;
inline constexpr std::uint64_t kRecordsStart = 2 * kHeaderSpacing;
inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::size_t kRecordHeaderBytes = 64;

// Ops of the stage's own records. A kBegin is the first record of every segment in use.
inline constexpr std::uint8_t kBegin = 0x80;
inline constexpr std::uint8_t kAnchor = 0x81;

// Numbers a life of a segment file. A record is valid only under the generation it was written for.
using Generation = std::uint64_t;

using HeaderImage = std::array<std::uint8_t, kHeaderBytes>;
[[nodiscard]] HeaderImage encode_header(Generation generation);

struct DecodedHeader {
  enum class State : std::uint8_t { kInvalid, kValid, kNewer };
  State state = State::kInvalid;
  std::uint32_t version = 0;
  Generation generation = 0;
};
[[nodiscard]] DecodedHeader decode_header(Bytes image);

// A lane of one opening of the store: the unit in which records follow each other.
struct Stream {
  std::uint64_t opening = 0;
  std::uint64_t lane = 0;
  auto operator<=>(const Stream&) const = default;
};

// The fields of a record header, in host order.
struct RecordHeader {
  std::uint8_t op = 0;
  std::uint8_t flags = 0;
  std::uint32_t data_length = 0;
  StageSeq seq = 0;
  std::uint64_t project = 0;  // kBegin, kAnchor: opening
  std::uint64_t inode = 0;    // kBegin, kAnchor: lane
  std::uint64_t offset = 0;   // kBegin: the last sequence number of the stream before this segment
  std::int64_t time_ns = 0;
  // With data: its checksum. Without: the length. kBegin, kAnchor: all records of the stream up to
  // this sequence number are durable, or no longer needed.
  std::uint64_t word = 0;

  [[nodiscard]] bool own() const { return (op & 0x80) != 0; }
  [[nodiscard]] Stream stream() const { return {project, inode}; }
  [[nodiscard]] StageSeq durable() const { return word; }
};

using RecordImage = std::array<std::uint8_t, kRecordHeaderBytes>;
void encode_record(const RecordHeader& header, Generation generation, RecordImage& out);
// nullopt: not a record of this generation.
[[nodiscard]] std::optional<RecordHeader> decode_record(Bytes image, Generation generation);

[[nodiscard]] std::uint64_t checksum(Bytes data);

// What a record of `data_length` takes in its segment; records are aligned to 16 bytes.
[[nodiscard]] constexpr std::uint64_t record_bytes(std::uint64_t data_length) {
  return (kRecordHeaderBytes + data_length + 15) & ~std::uint64_t{15};
}

// Room that ordinary records leave at the end of a segment, for the one anchor that a checkpoint
// may have to add when no new segment can be had.
inline constexpr std::uint64_t kReserve = kRecordHeaderBytes;

}  // namespace projfs::stage
