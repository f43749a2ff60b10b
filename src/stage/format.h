// SPDX-License-Identifier: MIT
//
// What a stage segment holds, byte by byte; docs/format.md says it in full.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

#include "projfs/bytes.h"
#include "projfs/stage.h"

namespace projfs::stage {

inline constexpr std::uint32_t kFormatVersion = 1;

// The header is kept twice, in blocks of their own, so that rewriting one copy never endangers the
// other. Records start behind both.
inline constexpr std::uint64_t kHeaderSpacing = 4096;
inline constexpr std::uint64_t kRecordsStart = 2 * kHeaderSpacing;
inline constexpr std::size_t kHeaderBytes = 48;
inline constexpr std::size_t kRecordHeaderBytes = 64;

// The op of the stage's own record, the first of every segment in use.
inline constexpr std::uint8_t kBegin = 0x80;

struct SegmentHeader {
  // Numbers the lives of all segment files; never repeated while a segment of that life exists.
  std::uint64_t generation = 0;
  // Drawn at random for each life; the checksums of records depend on it. What a former life left
  // behind is no record, and neither is what somebody puts into a file to look like one.
  std::uint64_t nonce = 0;
  // All records of the segment's stream up to this sequence number are durable, or not needed.
  StageSeq durable = 0;
};

using HeaderImage = std::array<std::uint8_t, kHeaderBytes>;
[[nodiscard]] HeaderImage encode_header(const SegmentHeader& header);

struct DecodedHeader {
  enum class State : std::uint8_t { kInvalid, kValid, kNewer };
  State state = State::kInvalid;
  std::uint32_t version = 0;
  SegmentHeader header;
};
[[nodiscard]] DecodedHeader decode_header(Bytes image);

// A lane of one opening of the store: the unit in which records follow each other.
struct Stream {
  std::uint64_t opening = 0;
  std::uint64_t lane = 0;
  bool operator<(const Stream& other) const {
    return std::tie(opening, lane) < std::tie(other.opening, other.lane);
  }
};

// The fields of a record header, in host order.
struct RecordHeader {
  std::uint8_t op = 0;
  std::uint8_t flags = 0;
  std::uint32_t data_length = 0;
  StageSeq seq = 0;
  std::uint64_t project = 0;  // kBegin: opening
  std::uint64_t inode = 0;    // kBegin: lane
  std::uint64_t offset = 0;   // kBegin: the last sequence number of the stream before this segment
  std::int64_t time_ns = 0;
  // With data: its checksum. Without: the length. kBegin: as SegmentHeader::durable.
  std::uint64_t word = 0;

  [[nodiscard]] Stream stream() const { return {project, inode}; }
  [[nodiscard]] StageSeq durable() const { return word; }
};

using RecordImage = std::array<std::uint8_t, kRecordHeaderBytes>;
void encode_record(const RecordHeader& header, std::uint64_t nonce, RecordImage& out);
// nullopt: not a record of the life that has this nonce.
[[nodiscard]] std::optional<RecordHeader> decode_record(Bytes image, std::uint64_t nonce);

[[nodiscard]] std::uint64_t checksum(Bytes data);

// What a record of `data_length` takes in its segment; records are aligned to 16 bytes.
[[nodiscard]] constexpr std::uint64_t record_bytes(std::uint64_t data_length) {
  return (kRecordHeaderBytes + data_length + 15) & ~std::uint64_t{15};
}

}  // namespace projfs::stage
