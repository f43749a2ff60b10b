// SPDX-License-Identifier: MIT
#include "chunk/block_cache.h"

#include <gtest/gtest.h>

namespace projfs::chunks {
namespace {

TEST(BlockCache, KeepsWhatFitsAndWasUsedLast) {
  BlockCache cache(8 * 1000);  // 1000 bytes a shard
  const BlockPlace hot{1, 0, 1, 1};
  const auto hot_block = std::make_shared<Block>(100);
  cache.put(hot, hot_block);
  for (std::uint64_t i = 1; i < 1000; ++i) {
    cache.put({1, i * 100, 1, 1}, std::make_shared<Block>(100));
    ASSERT_EQ(cache.get(hot), hot_block) << i;
  }
  std::size_t kept = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) kept += cache.get({1, i * 100, 1, 1}) != nullptr;
  EXPECT_LE(kept, 80u);
  EXPECT_GE(kept, 40u);
  EXPECT_EQ(cache.get({2, 0, 1, 1}), nullptr);
  cache.clear();
  EXPECT_EQ(cache.get(hot), nullptr);
}

TEST(BlockCache, WhatIsTooLargeIsNotKept) {
  BlockCache cache(8 * 1000);
  cache.put({1, 0, 1, 1}, std::make_shared<Block>(1001));
  EXPECT_EQ(cache.get({1, 0, 1, 1}), nullptr);
}

}  // namespace
}  // namespace projfs::chunks
