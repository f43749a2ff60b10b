// SPDX-License-Identifier: MIT
#include "snapshot/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/text.h"

namespace projfs::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Retention kNone{0, 0, 0, 0, 0};

std::int64_t at(const std::string& time) { return *parse_rfc3339(time); }

std::vector<Candidate> automatic(const std::vector<std::string>& times) {
  std::vector<Candidate> out;
  for (const auto& time : times) out.push_back({at(time), true, false});
  return out;
}

Retention with(std::uint32_t Retention::*kind, std::uint32_t count) {
  Retention keep = kNone;
  keep.*kind = count;
  return keep;
}

TEST(Retention, DefaultIsThatOfTheManual) {
  EXPECT_EQ(format_retention({}), "last=4,hourly=24,daily=7,weekly=8,monthly=6");
}

TEST(Retention, ParsesWhatItFormats) {
  EXPECT_EQ(*parse_retention("last=4,hourly=24,daily=7,weekly=8,monthly=6"), Retention());
  EXPECT_EQ(*parse_retention("daily=3"), with(&Retention::daily, 3));
  const auto keep = *parse_retention("monthly=1,last=9");
  EXPECT_EQ(*parse_retention(format_retention(keep)), keep);
}

TEST(Retention, RefusesNonsense) {
  for (const auto* text :
       {"", "hourly", "hourly=", "hourly=x", "hourly=-1", "yearly=1", "hourly=1,", ",hourly=1",
        "hourly=1,hourly=2", "hourly=100001", "hourly=0", "hourly=1 ", "hourly=1;daily=2"}) {
    const auto parsed = parse_retention(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, EINVAL) << text;
    EXPECT_THAT(parsed.error().message, HasSubstr("write it like")) << text;
  }
}

TEST(ToPrune, KeepsTheLast) {
  const auto all = automatic({"2026-11-22T18:00:00Z", "2026-11-22T18:15:00Z",
                              "2026-11-22T18:30:00Z", "2026-11-22T18:45:00Z"});
  EXPECT_THAT(to_prune(all, with(&Retention::last, 3)), ElementsAre(0));
  EXPECT_THAT(to_prune(all, with(&Retention::last, 4)), IsEmpty());
  EXPECT_THAT(to_prune({}, Retention()), IsEmpty());
}

TEST(ToPrune, KeepsTheNewestOfEachHour) {
  const auto all =
      automatic({"2026-11-22T17:15:00Z", "2026-11-22T17:59:59Z", "2026-11-22T18:00:00Z",
                 "2026-11-22T18:45:00Z", "2026-11-22T20:01:00Z"});
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 3)), ElementsAre(0, 2));
  // Hours without a snapshot do not count.
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 2)), ElementsAre(0, 1, 2));
}

TEST(ToPrune, DaysWeeksAndMonthsBeginInUtc) {
  // 2026-11-22 is a Sunday.
  const auto all =
      automatic({"2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z", "2026-11-16T00:00:00Z",
                 "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"});
  EXPECT_THAT(to_prune(all, with(&Retention::daily, 9)), IsEmpty());
  EXPECT_THAT(to_prune(all, with(&Retention::weekly, 9)), ElementsAre(0, 2));
  EXPECT_THAT(to_prune(all, with(&Retention::monthly, 9)), ElementsAre(1, 2, 3));
}

TEST(ToPrune, NamedAndHeldOnesAreNeverPrunedAndNamedOnesTakeNoPlace) {
  auto all = automatic({"2026-11-22T18:00:00Z", "2026-11-22T18:01:00Z", "2026-11-22T18:02:00Z",
                        "2026-11-22T18:03:00Z"});
  all[0].held = true;
  all[3].automatic = false;
  EXPECT_THAT(to_prune(all, with(&Retention::last, 1)), ElementsAre(1));
}

TEST(ToPrune, AClockThatWasAheadPushesNothingOut) {
  const auto all =
      automatic({"2026-11-22T17:00:00Z", "2030-01-01T00:00:00Z", "2030-01-01T00:15:00Z",
                 "2026-11-22T18:00:00Z", "2026-11-22T19:00:00Z"});
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 2)), ElementsAre(0, 1, 2));
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 3)), ElementsAre(0, 1));
}

TEST(ToPrune, AClockSetBackKeepsTheNewestOfTheHourLivedTwice) {
  const auto all =
      automatic({"2026-11-22T18:50:00Z", "2026-11-22T18:10:00Z", "2026-11-22T19:10:00Z"});
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 9)), ElementsAre(0));
}

TEST(ToPrune, TimesBeforeTheEpochDoNotMerge) {
  const std::vector<Candidate> all = {{-1, true, false}, {1, true, false}};
  EXPECT_THAT(to_prune(all, with(&Retention::hourly, 9)), IsEmpty());
}

// A year of a snapshot every quarter of an hour, pruned after each: what is left is bounded by the
// policy, reaches back as far as it promises, and pruning again takes nothing.
TEST(ToPrune, AYearOfQuarters) {
  std::vector<Candidate> kept;
  const auto begin = at("2025-11-22T00:00:00Z");
  constexpr std::int64_t kQuarter = 900ll * 1'000'000'000;
  for (std::int64_t i = 0; i < 365 * 96; ++i) {
    kept.push_back({begin + i * kQuarter, true, false});
    const auto gone = to_prune(kept, {});
    for (auto g = gone.rbegin(); g != gone.rend(); ++g)
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(*g));
  }
  EXPECT_THAT(to_prune(kept, {}), IsEmpty());
  EXPECT_LE(kept.size(), 4u + 24 + 7 + 8 + 6);
  EXPECT_GE(kept.size(), 24u + 7 + 8 + 6 - 8);
  EXPECT_LE(kept.front().created_ns, at("2026-06-30T23:45:00Z"));
  EXPECT_EQ(kept.back().created_ns, at("2026-11-21T23:45:00Z"));
}

TEST(AutomaticName, SortsAsTimeDoes) {
  EXPECT_EQ(automatic_name(at("2026-11-22T18:30:00Z")), "2026-11-22T18-30-00Z");
  EXPECT_LT(automatic_name(at("2026-09-30T23:59:59Z")), automatic_name(at("2026-10-01T00:00:00Z")));
}

}  // namespace
}  // namespace projfs::snapshot
