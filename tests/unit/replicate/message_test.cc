// SPDX-License-Identifier: MIT
//
// The bytes of every message are what they were when the version was published: vectors.inc is
// changed only together with the version.
#include "replicate/message.h"

#include <gtest/gtest.h>
#include <random>

#include "projfs/bytes.h"
#include "samples.h"

namespace projfs::replicate {
namespace {

struct Vector {
  const char* name;
  const char* hex;
};
constexpr Vector kVectors[] = {
#include "vectors.inc"
};

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

TEST(MessageTest, EveryKindOfMessageHasItsVector) {
  const auto all = samples();
  ASSERT_EQ(std::size(kVectors), all.size());
  ASSERT_EQ(std::variant_size_v<Message>, all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_STREQ(kVectors[i].name, all[i].first);
    EXPECT_EQ(kVectors[i].hex, to_hex(encode_frame(all[i].second))) << all[i].first;
    EXPECT_EQ(type_of(all[i].second.message), i + 1);
  }
}

TEST(MessageTest, WhatIsEncodedDecodesToTheSame) {
  for (const auto& [name, frame] : samples()) {
    const auto back = decode(type_of(frame.message), encode(frame.message));
    ASSERT_TRUE(back) << name << ": " << back.error().describe();
    EXPECT_TRUE(*back == frame.message) << name;
  }
}

TEST(MessageTest, WhatIsCutShortOrTooLongIsRefused) {
  for (const auto& [name, frame] : samples()) {
    const auto type = type_of(frame.message);
    const auto whole = encode(frame.message);
    // A block's payload has no length of its own: it ends where the message does.
    const bool open_end = std::string_view(name) == "chunks";
    const auto fixed = open_end ? whole.size() - 7 : whole.size();
    for (std::size_t n = 0; n < fixed; ++n)
      EXPECT_FALSE(decode(type, std::string_view(whole).substr(0, n))) << name << " cut to " << n;
    if (!open_end) {
      EXPECT_FALSE(decode(type, whole + "x")) << name;
    }
    EXPECT_FALSE(decode(type, std::string(most_bytes(type) + 1u, '\0'))) << name;
  }
}

TEST(MessageTest, CountsThatTheBodyCannotHoldAreRefusedBeforeRoomIsMade) {
  std::string huge;
  put_varint(huge, std::uint64_t{1} << 60);
  EXPECT_FALSE(decode(type_of(Offer{}), huge));
  EXPECT_FALSE(decode(type_of(Want{}), huge));
  EXPECT_FALSE(decode(type_of(SnapshotEntries{}), huge));
  EXPECT_FALSE(decode(type_of(Batch{}), std::string("\x01\x00\x00\x00", 4) + huge));
  EXPECT_FALSE(decode(type_of(Chunks{}), std::string("\x01\x01", 2) + huge));
  // In the range, but without the bytes.
  std::string many;
  put_varint(many, 5000);
  EXPECT_FALSE(decode(type_of(Offer{}), many));
  EXPECT_FALSE(decode(type_of(Want{}), many));
}

TEST(MessageTest, ImpossibleValuesAreRefused) {
  EXPECT_FALSE(decode(0, ""));
  EXPECT_FALSE(decode(200, ""));
  Hello hello;
  hello.oldest = 3;
  hello.newest = 2;
  EXPECT_FALSE(decode(type_of(hello), encode(hello)));
  // A flag that is neither, and bits behind the last chunk wanted.
  EXPECT_FALSE(decode(type_of(Commit{}), std::string("\x05\x02", 2)));
  EXPECT_FALSE(decode(type_of(Want{}), std::string("\x01\x03", 2)));
  EXPECT_TRUE(decode(type_of(Want{}), std::string("\x01\x01", 2)));
  // A chunk of no length.
  Offer offer;
  offer.chunks.resize(1);
  EXPECT_FALSE(decode(type_of(offer), encode(offer)));
  // A deleted snapshot that is held.
  EXPECT_FALSE(decode(type_of(SnapshotEntries{}), std::string("\x01\x05\x02", 3)));
}

TEST(MessageTest, BytesChangedAtRandomDecodeToSomethingThatEncodesOrAreRefused) {
  std::mt19937 random(7);
  const auto all = samples();
  std::size_t accepted = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto& message = all[random() % all.size()].second.message;
    auto body = encode(message);
    for (unsigned n = 1 + random() % 3; n > 0 && !body.empty(); --n)
      body[random() % body.size()] = static_cast<char>(random());
    const auto back = decode(type_of(message), body);
    if (back) {
      ++accepted;
      const auto again = decode(type_of(*back), encode(*back));
      ASSERT_TRUE(again);
      EXPECT_TRUE(*again == *back);
    } else {
      ++refused;
      EXPECT_EQ(back.error().code, EBADMSG);
    }
  }
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace projfs::replicate
