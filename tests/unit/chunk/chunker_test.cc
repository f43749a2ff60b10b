// SPDX-License-Identifier: MIT
#include "chunk/chunker.h"

#include <gtest/gtest.h>
#include <bit>
#include <numeric>
#include <set>

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

std::vector<std::uint64_t> ends(const std::vector<std::uint32_t>& lengths) {
  std::vector<std::uint64_t> out;
  std::uint64_t at = 0;
  for (const auto n : lengths) out.push_back(at += n);
  return out;
}

// docs/format.md to the letter, a byte at a time.
std::size_t reference_cut(Bytes data, std::uint32_t average) {
  const std::size_t min = average / 4, max = average * 8;
  const int bits = std::countr_zero(average);
  if (data.size() <= min) return data.size();
  std::uint64_t hash = 0;
  for (std::size_t i = min - 64; i < std::min(data.size(), max); ++i) {
    hash = hash * 2 + kGear[data[i]];
    if (i < min) continue;
    const int n = i < average ? bits + 2 : bits - 2;
    const auto mask = ((std::uint64_t{1} << n) - 1) << (63 - n);
    if ((hash & mask) == 0) return i + 1;
  }
  return std::min(data.size(), max);
}

TEST(Chunker, GearTableIsTheDocumentedOne) {
  EXPECT_EQ(kGear[0], 0x7af462b4b57ed4aau);
  EXPECT_EQ(kGear[255], 0x462f75108a997db1u);
}

TEST(Chunker, AgreesWithTheReference) {
  for (const std::uint32_t average : {1u << 8, 1u << 10, 1u << 13, 1u << 16}) {
    const Chunker chunker(average);
    for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 5000u, 300001u}) {
      for (const bool compressible : {false, true}) {
        const auto data = compressible ? text(size, size) : random_bytes(size, size);
        Bytes left = as_bytes(data);
        for (const auto n : chunker.cut(as_bytes(data))) {
          ASSERT_EQ(n, reference_cut(left, average)) << average << " " << size;
          left = left.subspan(n);
        }
        EXPECT_TRUE(left.empty());
      }
    }
  }
}

TEST(Chunker, GoldenCutPoints) {
  const auto data = random_bytes(1, 100000);
  EXPECT_EQ(Chunker(8 << 10).cut(as_bytes(data)),
            (std::vector<std::uint32_t>{9172, 9138, 6545, 4161, 14004, 5438, 11483, 10702, 8898,
                                        10141, 9013, 1305}));
}

TEST(Chunker, KeepsItsBounds) {
  const Chunker chunker(1 << 10);
  for (const auto& data :
       {random_bytes(2, 1 << 20), text(2, 1 << 20), std::string(1 << 20, '\0')}) {
    const auto lengths = chunker.cut(as_bytes(data));
    EXPECT_EQ(std::accumulate(lengths.begin(), lengths.end(), std::uint64_t{0}), data.size());
    for (std::size_t i = 0; i + 1 < lengths.size(); ++i) {
      EXPECT_GT(lengths[i], chunker.min_size());
      EXPECT_LE(lengths[i], chunker.max_size());
    }
  }
}

TEST(Chunker, AverageIsNearTheOneAskedFor) {
  const auto data = random_bytes(3, 8 << 20);
  const auto chunks = Chunker(8 << 10).cut(as_bytes(data)).size();
  EXPECT_GT(chunks, (8u << 20) / (12 << 10));
  EXPECT_LT(chunks, (8u << 20) / (6 << 10));
}

TEST(Chunker, AnInsertionMovesOnlyTheBoundariesNearIt) {
  const Chunker chunker(1 << 10);
  const auto before = random_bytes(4, 200000);
  auto after = before;
  after.insert(100000, "seventeen bytes!!");
  const auto old_ends = ends(chunker.cut(as_bytes(before)));
  const auto new_ends = ends(chunker.cut(as_bytes(after)));
  const std::set<std::uint64_t> is_new(new_ends.begin(), new_ends.end());
  std::size_t kept = 0;
  for (const auto e : old_ends) {
    const auto moved = e <= 100000 ? e : e + 17;
    if (is_new.contains(moved)) {
      ++kept;
    } else {
      EXPECT_GT(e, 100000u - 1);
      EXPECT_LT(e, 100000u + 4 * chunker.max_size());
    }
  }
  EXPECT_GE(kept + 8, old_ends.size());
}

TEST(Chunker, AppendedDataLeavesAllButTheLastBoundary) {
  const Chunker chunker(1 << 10);
  const auto data = text(5, 100000);
  const auto head = ends(chunker.cut(as_bytes(data).first(60000)));
  const auto whole = ends(chunker.cut(as_bytes(data)));
  for (std::size_t i = 0; i + 1 < head.size(); ++i) EXPECT_EQ(head[i], whole[i]);
}

}  // namespace
}  // namespace projfs::chunks
