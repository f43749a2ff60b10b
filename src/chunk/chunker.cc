// SPDX-License-Identifier: MIT
#include "chunk/chunker.h"

#include <algorithm>
#include <bit>

namespace projfs::chunks {
namespace {

constexpr std::size_t kWindow = 64;  // bytes that a 64-bit gear hash remembers
constexpr int kNormalization = 2;    // bits by which the two masks differ from the average

constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> table{};
  std::uint64_t state = kGearSeed;
  for (auto& entry : table) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    entry = z ^ (z >> 31);
  }
  return table;
}

constexpr auto kGearTable = make_gear();

// The same shifted left once: the first of two bytes that are taken in one step.
constexpr std::array<std::uint64_t, 256> make_shifted() {
  auto table = kGearTable;
  for (auto& entry : table) entry <<= 1;
  return table;
}
constexpr auto kGearShifted = make_shifted();

// `bits` ones below the top bit. The top bit stays out because the two-bytes-a-step loop sees the
// first hash already shifted, without it; high bits are used because they depend on most bytes.
constexpr std::uint64_t mask_of(int bits) {
  return ((std::uint64_t{1} << bits) - 1) << (63 - bits);
}

// Continues `hash` over data[pos, end): the position after the byte whose hash has no bit of
// `mask`, or 0 if there is none; `hash` is then the hash at `end`.
inline std::size_t scan(const std::uint8_t* data, std::size_t pos, std::size_t end,
                        std::uint64_t mask, std::uint64_t& hash) {
  std::uint64_t h = hash;
  const std::uint64_t shifted_mask = mask << 1;
  for (; pos + 2 <= end; pos += 2) {
    h = (h << 2) + kGearShifted[data[pos]];
    if ((h & shifted_mask) == 0) [[unlikely]] {
      return pos + 1;
    }
    h += kGearTable[data[pos + 1]];
    if ((h & mask) == 0) [[unlikely]] {
      return pos + 2;
    }
  }
  if (pos < end) {
    h = (h << 1) + kGearTable[data[pos]];
    if ((h & mask) == 0) return pos + 1;
  }
  hash = h;
  return 0;
}

}  // namespace

const std::array<std::uint64_t, 256> kGear = kGearTable;

Chunker::Chunker(std::uint32_t average)
    : min_(average / 4),
      normal_(average),
      max_(average * 8),
      strict_(mask_of(std::countr_zero(average) + kNormalization)),
      loose_(mask_of(std::countr_zero(average) - kNormalization)) {}

std::size_t Chunker::next(Bytes data) const {
  if (data.size() <= min_) return data.size();
  const std::size_t normal = std::min<std::size_t>(normal_, data.size());
  const std::size_t limit = std::min<std::size_t>(max_, data.size());
  const std::uint8_t* p = data.data();
  std::uint64_t hash = 0;
  // Warm up, so that a boundary depends on the bytes before it alone, not on where the chunk began.
  for (std::size_t i = min_ - std::min<std::size_t>(min_, kWindow); i < min_; ++i) {
    hash = (hash << 1) + kGearTable[p[i]];
  }
  if (const auto at = scan(p, min_, normal, strict_, hash); at != 0) return at;
  if (const auto at = scan(p, normal, limit, loose_, hash); at != 0) return at;
  return limit;
}

std::vector<std::uint32_t> Chunker::cut(Bytes data) const {
  std::vector<std::uint32_t> lengths;
  lengths.reserve(data.size() / normal_ + 1);
  while (!data.empty()) {
    const auto n = next(data);
    lengths.push_back(static_cast<std::uint32_t>(n));
    data = data.subspan(n);
  }
  return lengths;
}

}  // namespace projfs::chunks
