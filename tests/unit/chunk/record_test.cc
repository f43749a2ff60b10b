// SPDX-License-Identifier: MIT
#include "chunk/record.h"

#include <gtest/gtest.h>

namespace projfs::chunks {
namespace {

ChunkRecord sample() {
  ChunkRecord r;
  r.block = {3, 1000, 500, 2000};
  r.offset = 100;
  r.length = 300;
  r.keyed = true;
  r.hash.bytes.fill(0xab);
  return r;
}

TEST(ChunkRecord, HasTheDocumentedBytes) {
  auto r = sample();
  const std::string expected =
      std::string("\x03\xe8\x07\xf4\x03\xd0\x0f\x64\xb1\x09", 10) + std::string(32, '\xab');
  EXPECT_EQ(r.encode(), expected);
  const auto back = ChunkRecord::decode(expected);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->block, r.block);
  EXPECT_EQ(back->offset, r.offset);
  EXPECT_EQ(back->length, r.length);
  EXPECT_TRUE(back->keyed);
  EXPECT_FALSE(back->indexed);
  EXPECT_EQ(back->hash, r.hash);
}

TEST(ChunkRecord, RefusesNonsense) {
  const auto good = sample().encode();
  for (std::size_t n = 0; n < good.size(); ++n)
    EXPECT_FALSE(ChunkRecord::decode(good.substr(0, n)));
  EXPECT_FALSE(ChunkRecord::decode(good + "x"));
  auto r = sample();
  r.length = 0;
  EXPECT_FALSE(ChunkRecord::decode(r.encode()));
  r.length = 1901;  // beyond the block
  EXPECT_FALSE(ChunkRecord::decode(r.encode()));
  r.length = 1900;
  EXPECT_TRUE(ChunkRecord::decode(r.encode()));
  r.block.stored = kBlockHeader;
  EXPECT_FALSE(ChunkRecord::decode(r.encode()));
}

TEST(ChunkRecord, SharesAddUpToTheBlock) {
  std::uint64_t sum = 0;
  std::uint32_t offset = 0;
  for (const std::uint32_t length : {1u, 7u, 333u, 659u, 1000u}) {
    auto r = sample();
    r.block.stored = 777;
    r.offset = offset;
    r.length = length;
    sum += r.share();
    offset += length;
  }
  ASSERT_EQ(offset, sample().block.raw);
  EXPECT_EQ(sum, 777u);
}

TEST(Keys, SortByNumber) {
  EXPECT_LT(number_key(255), number_key(256));
  EXPECT_LT(dead_key(5, UINT64_MAX), dead_key(6, 0));
  EXPECT_EQ(prefix_end("P"), "Q");
  EXPECT_EQ(prefix_end("a\xff"), "b");
}

}  // namespace
}  // namespace projfs::chunks
