// SPDX-License-Identifier: MIT
#include "meta/extent_list.h"

#include <gtest/gtest.h>
#include <random>

namespace projfs::meta {
namespace {

// One letter for each unit: what an extent list says of it.
struct Unit {
  int kind = -1;  // -1: hole
  ChunkNo chunk = 0;
  std::uint32_t offset = 0;
  bool operator==(const Unit&) const = default;
};

constexpr std::uint32_t kUnit = 4096;
constexpr std::uint32_t kUnits = kSegmentBytes / kUnit;

std::vector<Unit> units(const ExtentList& list) {
  std::vector<Unit> out(kUnits);
  std::uint32_t at = 0;
  for (const auto& e : list.extents()) {
    EXPECT_GE(e.offset, at);
    EXPECT_GT(e.length, 0u);
    at = e.end();
    for (auto o = e.offset; o < e.end(); o += kUnit) {
      out[o / kUnit] = {static_cast<int>(e.kind), e.chunk,
                        e.kind == ExtentKind::kChunk ? e.chunk_offset + (o - e.offset) : 0};
    }
  }
  return out;
}

TEST(ExtentListTest, RandomAssignmentsAndErasuresMatchAModel) {
  std::mt19937 rng(1);
  ExtentList list;
  std::vector<Unit> model(kUnits);
  for (int step = 0; step < 20000; ++step) {
    const auto begin = static_cast<std::uint32_t>(rng() % kUnits);
    const auto end = begin + 1 + static_cast<std::uint32_t>(rng() % std::min(40u, kUnits - begin));
    if (rng() % 3 == 0) {
      list.erase(begin * kUnit, end * kUnit);
      std::fill(model.begin() + begin, model.begin() + end, Unit{});
    } else {
      Extent e{begin * kUnit, (end - begin) * kUnit, static_cast<ExtentKind>(rng() % 3), 0, 0};
      if (e.kind == ExtentKind::kChunk) {
        e.chunk = 1 + rng() % 1000;
        e.chunk_offset = static_cast<std::uint32_t>(rng() % 8) * kUnit;
      }
      list.assign(e);
      for (auto u = begin; u < end; ++u) {
        model[u] = {static_cast<int>(e.kind), e.chunk,
                    e.kind == ExtentKind::kChunk ? e.chunk_offset + (u - begin) * kUnit : 0};
      }
    }
    ASSERT_EQ(units(list), model) << "step " << step;
    if (step % 50 == 0) {
      const auto decoded = ExtentList::decode(list.encode());
      ASSERT_TRUE(decoded);
      ASSERT_EQ(*decoded, list);
    }
  }
}

TEST(ExtentListTest, JoinsWhatContinues) {
  ExtentList list;
  list.assign({0, 100, ExtentKind::kChunk, 9, 50});
  list.assign({200, 100, ExtentKind::kChunk, 9, 250});
  list.assign({100, 100, ExtentKind::kChunk, 9, 150});
  ASSERT_EQ(list.extents().size(), 1u);
  EXPECT_EQ(list.extents()[0], (Extent{0, 300, ExtentKind::kChunk, 9, 50}));
  list.assign({300, 100, ExtentKind::kChunk, 9, 0});  // another part of the chunk
  EXPECT_EQ(list.extents().size(), 2u);
}

TEST(ExtentListTest, RefusesDamagedBytes) {
  ExtentList list;
  for (std::uint32_t i = 0; i < 50; ++i)
    list.assign({i * 20000, 10000, static_cast<ExtentKind>(i % 3), i % 3 == 0 ? i + 1 : 0, 0});
  const auto good = list.encode();
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    // A cut may leave whole extents: then it decodes to fewer, never to others.
    const auto decoded = ExtentList::decode(std::string_view(good).substr(0, cut));
    if (decoded) {
      EXPECT_LT(decoded->extents().size(), list.extents().size());
    }
  }
  std::mt19937 rng(2);
  for (int i = 0; i < 20000; ++i) {
    auto bad = good;
    bad[rng() % bad.size()] ^= static_cast<char>(1 << rng() % 8);
    const auto decoded = ExtentList::decode(bad);
    if (!decoded) continue;
    std::uint64_t at = 0;
    for (const auto& e : decoded->extents()) {
      ASSERT_GE(e.offset, at);
      ASSERT_LE(e.end(), kSegmentBytes);
      at = e.end();
    }
  }
}

}  // namespace
}  // namespace projfs::meta
