// SPDX-License-Identifier: MIT
#include "stage/format.h"

#include <xxhash.h>

namespace projfs::stage {
namespace {

constexpr std::uint64_t kHeaderMagic = 0x475373666a6f7270;  // "projfsSG"
constexpr std::uint16_t kRecordMagic = 0x5253;              // "SR"

template <class T>
void put(std::uint8_t* at, T value) {
  value = detail::to_order(value, std::endian::little);
  std::memcpy(at, &value, sizeof value);
}

template <class T>
T get(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return detail::to_order(value, std::endian::little);
}

bool known(std::uint8_t op) {
  return op == kBegin || (op >= static_cast<std::uint8_t>(StageOp::kWrite) &&
                          op <= static_cast<std::uint8_t>(StageOp::kZero));
}

}  // namespace

HeaderImage encode_header(const SegmentHeader& header) {
  HeaderImage out{};
  put(out.data(), kHeaderMagic);
  put(out.data() + 8, kFormatVersion);
  put(out.data() + 12, std::uint32_t{0});
  put(out.data() + 16, header.generation);
  put(out.data() + 24, header.nonce);
  put(out.data() + 32, header.durable);
  put(out.data() + 40, XXH3_64bits(out.data(), 40));
  return out;
}

DecodedHeader decode_header(Bytes image) {
  using State = DecodedHeader::State;
  DecodedHeader out;
  if (image.size() < kHeaderBytes || get<std::uint64_t>(image.data()) != kHeaderMagic) return out;
  out.version = get<std::uint32_t>(image.data() + 8);
  if (out.version > kFormatVersion) {
    out.state = State::kNewer;
    return out;
  }
  if (out.version == 0 || get<std::uint64_t>(image.data() + 40) != XXH3_64bits(image.data(), 40)) {
    return out;
  }
  out.state = State::kValid;
  out.header.generation = get<std::uint64_t>(image.data() + 16);
  out.header.nonce = get<std::uint64_t>(image.data() + 24);
  out.header.durable = get<std::uint64_t>(image.data() + 32);
  return out;
}

void encode_record(const RecordHeader& header, std::uint64_t nonce, RecordImage& out) {
  auto* p = out.data();
  put(p, kRecordMagic);
  p[2] = header.op;
  p[3] = header.flags;
  put(p + 4, header.data_length);
  put(p + 8, header.seq);
  put(p + 16, header.project);
  put(p + 24, header.inode);
  put(p + 32, header.offset);
  put(p + 40, header.time_ns);
  put(p + 48, header.word);
  put(p + 56, XXH3_64bits_withSeed(p, 56, nonce));
}

std::optional<RecordHeader> decode_record(Bytes image, std::uint64_t nonce) {
  if (image.size() < kRecordHeaderBytes) return std::nullopt;
  const auto* p = image.data();
  if (get<std::uint16_t>(p) != kRecordMagic) return std::nullopt;
  if (get<std::uint64_t>(p + 56) != XXH3_64bits_withSeed(p, 56, nonce)) return std::nullopt;
  RecordHeader h;
  h.op = p[2];
  h.flags = p[3];
  h.data_length = get<std::uint32_t>(p + 4);
  h.seq = get<std::uint64_t>(p + 8);
  h.project = get<std::uint64_t>(p + 16);
  h.inode = get<std::uint64_t>(p + 24);
  h.offset = get<std::uint64_t>(p + 32);
  h.time_ns = get<std::int64_t>(p + 40);
  h.word = get<std::uint64_t>(p + 48);
  const bool has_data = h.op == static_cast<std::uint8_t>(StageOp::kWrite);
  if (!known(h.op) || h.data_length > Stage::kMaxRecordData || has_data != (h.data_length > 0)) {
    return std::nullopt;
  }
  return h;
}

std::uint64_t checksum(Bytes data) { return XXH3_64bits(data.data(), data.size()); }

}  // namespace projfs::stage
