// SPDX-License-Identifier: MIT
#include "chunk/block.h"

#include <gtest/gtest.h>

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

struct Stored {
  BlockPlace place;
  std::string bytes;
};

Stored store(Codec codec, const std::string& raw) {
  std::string payload = raw;
  if (codec == Codec::kZstd) {
    EXPECT_TRUE(compress(as_bytes(raw), 1, payload).value());
  }
  const auto size = static_cast<std::uint32_t>(raw.size());
  const auto header = block_header(codec, 7, 4096, size, as_bytes(payload));
  Stored s{{7, 4096, static_cast<std::uint32_t>(kBlockHeader + payload.size()), size}, {}};
  s.bytes = std::string(as_view(header)) + payload;
  return s;
}

TEST(Block, ComesBackFromBothCodecs) {
  for (const auto codec : {Codec::kRaw, Codec::kZstd}) {
    const auto raw = text(1, 20000);
    const auto s = store(codec, raw);
    const auto block = open_block(s.place, as_bytes(s.bytes));
    ASSERT_TRUE(block) << block.error().describe();
    EXPECT_TRUE(as_view((*block)->bytes()) == raw);
  }
}

TEST(Block, NoFlippedBitGetsThrough) {
  for (const auto codec : {Codec::kRaw, Codec::kZstd}) {
    auto s = store(codec, text(2, 700));
    for (std::size_t i = 0; i < s.bytes.size(); ++i) {
      for (const int bit : {0, 3, 7}) {
        s.bytes[i] = static_cast<char>(s.bytes[i] ^ (1 << bit));
        const auto block = open_block(s.place, as_bytes(s.bytes));
        ASSERT_FALSE(block) << "byte " << i << " bit " << bit;
        EXPECT_EQ(block.error().code, EIO);
        s.bytes[i] = static_cast<char>(s.bytes[i] ^ (1 << bit));
      }
    }
    EXPECT_TRUE(open_block(s.place, as_bytes(s.bytes)));
  }
}

TEST(Block, IsRefusedAtAnotherPlaceOrLength) {
  const auto s = store(Codec::kRaw, "some content");
  for (auto place : {BlockPlace{8, 4096, s.place.stored, s.place.raw},
                     BlockPlace{7, 4097, s.place.stored, s.place.raw},
                     BlockPlace{7, 4096, s.place.stored, s.place.raw + 1},
                     BlockPlace{7, 4096, s.place.stored + 1, s.place.raw}}) {
    EXPECT_FALSE(open_block(place, as_bytes(s.bytes)));
  }
  EXPECT_FALSE(open_block(s.place, as_bytes(s.bytes).first(s.bytes.size() - 1)));
  EXPECT_FALSE(open_block(s.place, {}));
}

TEST(Block, TellsWhatDoesNotCompress) {
  EXPECT_TRUE(looks_incompressible(as_bytes(random_bytes(1, 8192))));
  EXPECT_TRUE(looks_incompressible(as_bytes(random_bytes(2, 1 << 16))));
  EXPECT_FALSE(looks_incompressible(as_bytes(text(1, 8192))));
  EXPECT_FALSE(looks_incompressible(as_bytes(std::string(8192, '\0'))));
  // Every byte value equally often, but repeating.
  const auto part = random_bytes(3, 1024);
  EXPECT_FALSE(looks_incompressible(as_bytes(part + part + part + part)));
}

TEST(Block, CompressionSaysWhenItSavesNothing) {
  std::string out;
  EXPECT_FALSE(compress(as_bytes(random_bytes(1, 8192)), 1, out).value());
  EXPECT_TRUE(compress(as_bytes(text(1, 8192)), 1, out).value());
}

}  // namespace
}  // namespace projfs::chunks
