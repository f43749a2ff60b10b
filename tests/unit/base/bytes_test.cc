// SPDX-License-Identifier: MIT
#include "projfs/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace projfs {
namespace {

TEST(BytesTest, FixedIntegersHaveTheirByteOrder) {
  std::string out;
  put_u8(out, 0xab);
  put_be32(out, 0x01020304);
  put_be64(out, 0x0102030405060708);
  put_le16(out, 0x0102);
  put_le32(out, 0x01020304);
  put_le64(out, 0x0102030405060708);
  EXPECT_EQ(out, std::string("\xab"
                             "\x01\x02\x03\x04"
                             "\x01\x02\x03\x04\x05\x06\x07\x08"
                             "\x02\x01"
                             "\x04\x03\x02\x01"
                             "\x08\x07\x06\x05\x04\x03\x02\x01"));
  Reader in(out);
  EXPECT_EQ(in.u8(), 0xab);
  EXPECT_EQ(in.be32(), 0x01020304u);
  EXPECT_EQ(in.be64(), 0x0102030405060708u);
  EXPECT_EQ(in.le16(), 0x0102);
  EXPECT_EQ(in.le32(), 0x01020304u);
  EXPECT_EQ(in.remaining(), 8u);
  EXPECT_EQ(in.le64(), 0x0102030405060708u);
  EXPECT_TRUE(in.done());
}

TEST(BytesTest, BigEndianKeysSortByValue) {
  const std::array<std::uint64_t, 5> values{0, 1, 255, 256,
                                            std::numeric_limits<std::uint64_t>::max()};
  std::string last;
  for (const auto v : values) {
    std::string key;
    put_be64(key, v);
    EXPECT_LT(last, key);
    last = key;
  }
}

TEST(BytesTest, VarintsOfEveryLength) {
  for (unsigned shift = 0; shift < 64; ++shift) {
    for (const auto v :
         {std::uint64_t{1} << shift, (std::uint64_t{1} << shift) - 1, ~std::uint64_t{0} >> shift}) {
      std::string out;
      put_varint(out, v);
      EXPECT_LE(out.size(), 10u);
      Reader in(out);
      EXPECT_EQ(in.varint(), v);
      EXPECT_TRUE(in.done());
      // Cut short it is malformed.
      Reader cut(std::string_view(out).substr(0, out.size() - 1));
      EXPECT_EQ(cut.varint(), 0u);
      EXPECT_FALSE(cut.ok());
    }
  }
}

TEST(BytesTest, VarintsThatDoNotFitAreMalformed) {
  Reader tenth(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
  EXPECT_EQ(tenth.varint(), 0u);
  EXPECT_FALSE(tenth.ok());
  const std::string long_one(11, '\x80');
  Reader eleven(long_one);
  EXPECT_EQ(eleven.varint(), 0u);
  EXPECT_FALSE(eleven.ok());
}

TEST(BytesTest, ZigzagIsItsOwnInverse) {
  for (const auto v :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1}, std::int64_t{-64},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(unzigzag(zigzag(v)), v);
  }
  EXPECT_EQ(zigzag(-1), 1u);
  EXPECT_EQ(zigzag(1), 2u);
}

TEST(BytesTest, StringsAndViews) {
  std::string out;
  put_string(out, "");
  put_string(out, std::string_view("a\0b", 3));
  out += "rest";
  Reader in(out);
  EXPECT_EQ(in.string(), "");
  EXPECT_EQ(in.string(), std::string_view("a\0b", 3));
  EXPECT_EQ(in.view(2), "re");
  EXPECT_EQ(in.rest(), "st");
  EXPECT_TRUE(in.done());
}

TEST(BytesTest, PastTheEndEverythingIsZeroAndNotOk) {
  Reader in(std::string_view("abc"));
  EXPECT_EQ(in.be32(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_TRUE(in.empty());
  EXPECT_FALSE(in.done());
  EXPECT_EQ(in.u8(), 0);
  EXPECT_EQ(in.view(1), "");
  EXPECT_FALSE(in.ok());

  std::string huge;
  put_varint(huge, ~std::uint64_t{0});
  Reader lying(huge);
  EXPECT_EQ(lying.string(), "");
  EXPECT_FALSE(lying.ok());
}

}  // namespace
}  // namespace projfs
