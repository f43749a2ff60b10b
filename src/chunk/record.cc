// SPDX-License-Identifier: MIT
#include "chunk/record.h"

namespace projfs::chunks {
namespace {
constexpr std::uint64_t kKeyed = 1;
constexpr std::uint64_t kIndexed = 2;
constexpr unsigned kFlagBits = 2;
constexpr std::size_t kHashKeyBytes = 16;
}  // namespace

std::string ChunkRecord::encode() const {
  std::string out;
  put_varint(out, block.pack);
  put_varint(out, block.offset);
  put_varint(out, block.stored);
  put_varint(out, block.raw);
  put_varint(out, offset);
  put_varint(out,
             std::uint64_t{length} << kFlagBits | (keyed ? kKeyed : 0) | (indexed ? kIndexed : 0));
  out.append(as_view(hash.bytes));
  return out;
}

std::optional<ChunkRecord> ChunkRecord::decode(std::string_view data) {
  Reader in(data);
  ChunkRecord r;
  r.block.pack = in.varint();
  r.block.offset = in.varint();
  const auto stored = in.varint();
  const auto raw = in.varint();
  const auto offset = in.varint();
  const auto tagged = in.varint();
  const auto hash = in.view(r.hash.bytes.size());
  const auto length = tagged >> kFlagBits;
  if (!in.done() || stored <= kBlockHeader || stored > UINT32_MAX || raw > UINT32_MAX ||
      length == 0 || offset > raw || length > raw - offset) {
    return std::nullopt;
  }
  r.block.stored = static_cast<std::uint32_t>(stored);
  r.block.raw = static_cast<std::uint32_t>(raw);
  r.offset = static_cast<std::uint32_t>(offset);
  r.length = static_cast<std::uint32_t>(length);
  r.keyed = (tagged & kKeyed) != 0;
  r.indexed = (tagged & kIndexed) != 0;
  std::memcpy(r.hash.bytes.data(), hash.data(), hash.size());
  return r;
}

std::string PackRecord::encode() const {
  std::string out;
  put_varint(out, end);
  numbers.encode(out);
  return out;
}

std::optional<PackRecord> PackRecord::decode(std::string_view data) {
  Reader in(data);
  PackRecord r;
  r.end = in.varint();
  auto numbers = Intervals::decode(in);
  if (!numbers || !in.done()) return std::nullopt;
  r.numbers = std::move(*numbers);
  return r;
}

std::string number_key(std::uint64_t n) {
  std::string key;
  put_be64(key, n);
  return key;
}

std::string prefixed_key(std::string_view prefix, std::uint64_t n) {
  std::string key(prefix);
  put_be64(key, n);
  return key;
}

std::string damaged_key(const BlockPlace& block) {
  auto key = prefixed_key(kDamagedPrefix, block.pack);
  put_be64(key, block.offset);
  return key;
}

std::string pack_counter_key(std::uint64_t pack) {
  return prefixed_key(std::string_view(&kPackCounterPrefix, 1), pack);
}

std::string dead_key(ChunkNo chunk, std::uint64_t token) {
  auto key = number_key(chunk);
  put_be64(key, token);
  return key;
}

std::string_view hash_key(const ChunkHash& hash) {
  return as_view(Bytes(hash.bytes).first(kHashKeyBytes));
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (!prefix.empty()) ++prefix.back();
  return prefix;
}

}  // namespace projfs::chunks
