// SPDX-License-Identifier: MIT
#include "host/text.h"

#include <gtest/gtest.h>

#include "projfs/store.h"

namespace projfs {
namespace {

TEST(ParseSize, TakesEveryUnitAsPowersOf1024) {
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("1B"), 1u);
  EXPECT_EQ(parse_size("500M"), 500ull << 20);
  EXPECT_EQ(parse_size("10G"), 10ull << 30);
  EXPECT_EQ(parse_size("10GiB"), 10ull << 30);
  EXPECT_EQ(parse_size("10gb"), 10ull << 30);
  EXPECT_EQ(parse_size("2T"), 2ull << 40);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const auto* text : {"", "G", "ten", "10X", "10GiBs", "-1", "1.5G", " 1", "1 G", "10bi"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL) << text;
    EXPECT_NE(size.error().message.find("is not a size"), std::string::npos) << text;
  }
}

TEST(ParseSize, RefusesWhatDoesNotFit) {
  EXPECT_EQ(parse_size("99999999999999999999").error().code, ERANGE);
  EXPECT_EQ(parse_size("16E").error().code, ERANGE);
  EXPECT_EQ(parse_size("15E"), 15ull << 60);
}

TEST(ParseLimit, KnowsUnlimited) {
  EXPECT_EQ(parse_limit("unlimited"), kUnlimited);
  EXPECT_EQ(parse_limit("1K"), 1024u);
  EXPECT_FALSE(parse_limit("none"));
}

TEST(ParseDuration, TakesEveryUnit) {
  EXPECT_EQ(parse_duration_ms("0"), 0);
  EXPECT_EQ(parse_duration_ms("250ms"), 250);
  EXPECT_EQ(parse_duration_ms("5s"), 5000);
  EXPECT_EQ(parse_duration_ms("2m"), 120'000);
  EXPECT_EQ(parse_duration_ms("1h"), 3'600'000);
  for (const auto* text : {"", "5", "s", "5 s", "5d", "-5s", "99999999999s"})
    EXPECT_FALSE(parse_duration_ms(text)) << text;
}

TEST(Format, Sizes) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(20ull << 30), "20 GiB");
  EXPECT_EQ(format_size(UINT64_MAX), "16 EiB");
  EXPECT_EQ(format_limit(kUnlimited), "unlimited");
}

TEST(Format, Times) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(rfc3339(1'767'225'599'999'999'999), "2025-12-31T23:59:59Z");
  EXPECT_EQ(parse_rfc3339("2025-12-31T23:59:59Z"), 1'767'225'599'000'000'000);
  EXPECT_FALSE(parse_rfc3339("2025-12-31 23:59:59"));
  const std::int64_t now = 1'767'225'599'000'000'000;
  EXPECT_NE(format_time(now - 180'000'000'000, now).find("(3 minutes ago)"), std::string::npos);
  EXPECT_NE(format_time(now - 1'000'000'000, now).find("(1 second ago)"), std::string::npos);
  EXPECT_NE(format_time(now + 5'000'000'000, now).find("(in the future)"), std::string::npos);
  EXPECT_EQ(format_seconds(7500), "2h 5m");
}

}  // namespace
}  // namespace projfs
