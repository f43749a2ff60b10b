// SPDX-License-Identifier: MIT
#include "replicate/frame.h"

#include <gtest/gtest.h>

#include "samples.h"

namespace projfs::replicate {
namespace {

TEST(FrameTest, FramesComeOutOfAStreamHoweverItIsCut) {
  const auto all = samples();
  std::string stream;
  for (const auto& [name, frame] : all) stream += encode_frame(frame);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}, stream.size()}) {
    FrameReader reader;
    reader.greeted();
    std::size_t found = 0;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      reader.feed(std::string_view(stream).substr(at, piece));
      while (true) {
        const auto frame = reader.next();
        ASSERT_TRUE(frame) << frame.error().describe();
        if (!*frame) break;
        ASSERT_LT(found, all.size());
        EXPECT_EQ((*frame)->stream, all[found].second.stream);
        EXPECT_TRUE((*frame)->message == all[found].second.message) << all[found].first;
        ++found;
      }
    }
    EXPECT_EQ(found, all.size());
    EXPECT_EQ(reader.missing(), kFrameHeader);
  }
}

TEST(FrameTest, WhoReadsWhatIsMissingReadsOneFrameAtATime) {
  std::string stream = encode_frame({1, Saved{5}}) + encode_frame({2, Saved{6}});
  FrameReader reader;
  reader.greeted();
  std::size_t at = 0;
  for (int frames = 0; frames < 2;) {
    const auto n = reader.missing();
    ASSERT_GT(n, 0u);
    ASSERT_LE(n, stream.size() - at);
    reader.feed(std::string_view(stream).substr(at, n));
    at += n;
    const auto frame = reader.next();
    ASSERT_TRUE(frame);
    if (*frame) ++frames;
  }
  EXPECT_EQ(at, stream.size());
}

TEST(FrameTest, BeforeTheGreetingOnlyAGreetingOrARefusalIsLetIn) {
  for (const auto& [name, frame] : samples()) {
    const bool polite = std::holds_alternative<Hello>(frame.message) ||
                        std::holds_alternative<Refusal>(frame.message);
    FrameReader reader;
    reader.feed(encode_frame(frame));
    EXPECT_EQ(static_cast<bool>(reader.next()), polite) << name;
  }
}

TEST(FrameTest, AHeaderIsRefusedBeforeItsBodyIsThere) {
  // Chunks of 4 GiB, to one who does not know us, and to one who does.
  auto bytes = encode_frame({1, Chunks{}}).substr(0, kFrameHeader);
  for (std::size_t i = 4; i < 8; ++i) bytes[i] = '\xff';
  for (const bool greeted : {false, true}) {
    FrameReader reader;
    if (greeted) reader.greeted();
    reader.feed(bytes);
    EXPECT_EQ(reader.missing(), 0u);
    const auto frame = reader.next();
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code, EBADMSG);
  }
}

TEST(FrameTest, AnyChangedByteIsNoticedAndEndsTheStream) {
  const auto good = encode_frame({3, Position{1, 2, 3, 4, "cursor"}});
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x21);
    FrameReader reader;
    reader.greeted();
    reader.feed(bad + good);
    auto frame = reader.next();
    // A length that grew asks for more bytes first.
    if (frame && !*frame) {
      reader.feed(std::string(reader.missing(), '\0'));
      frame = reader.next();
    }
    ASSERT_FALSE(frame) << "byte " << i;
    reader.feed(good);
    EXPECT_FALSE(reader.next()) << "byte " << i;
  }
}

}  // namespace
}  // namespace projfs::replicate
