// SPDX-License-Identifier: MIT
#include "chunk/intervals.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace projfs::chunks {
namespace {

TEST(Intervals, AgreesWithASet) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    Intervals intervals;
    std::set<std::uint64_t> set;
    for (int i = 0; i < 60; ++i) {
      const auto first = random() % 100, last = first + random() % 6;
      intervals.insert(first, last);
      for (auto n = first; n <= last; ++n) set.insert(n);
      if (i % 20 == 19) {
        const auto through = random() % 40;
        intervals.erase_through(through);
        set.erase(set.begin(), set.upper_bound(through));
      }
    }
    std::uint64_t previous_last = 0;
    bool first_interval = true;
    for (const auto& [first, last] : intervals.map()) {
      EXPECT_LE(first, last);
      if (!first_interval) {
        EXPECT_GT(first, previous_last + 1);
      }
      previous_last = last;
      first_interval = false;
    }
    for (std::uint64_t n = 0; n < 120; ++n) ASSERT_EQ(intervals.contains(n), set.contains(n));

    std::string coded;
    intervals.encode(coded);
    Reader in(coded);
    const auto decoded = Intervals::decode(in);
    ASSERT_TRUE(decoded && in.done());
    EXPECT_EQ(decoded->map(), intervals.map());
  }
}

TEST(Intervals, CoarseningClosesTheSmallestGaps) {
  Intervals intervals;
  for (const std::uint64_t n : {10, 12, 20, 22, 50}) intervals.insert(n);
  intervals.coarsen(3);
  EXPECT_EQ(intervals.map(), (Intervals::Map{{10, 12}, {20, 22}, {50, 50}}));
  intervals.coarsen(3);
  EXPECT_EQ(intervals.map().size(), 3u);
  intervals.coarsen(1);
  EXPECT_EQ(intervals.map(), (Intervals::Map{{10, 50}}));
}

TEST(Intervals, RefusesWhatIsCutShort) {
  Intervals intervals;
  intervals.insert(5, 9);
  intervals.insert(100000);
  std::string coded;
  intervals.encode(coded);
  for (std::size_t n = 0; n < coded.size(); ++n) {
    Reader in(std::string_view(coded).substr(0, n));
    EXPECT_FALSE(Intervals::decode(in)) << n;
  }
}

}  // namespace
}  // namespace projfs::chunks
