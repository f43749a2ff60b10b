// SPDX-License-Identifier: MIT
#include "snapshot/schedule.h"

#include <gtest/gtest.h>
#include <algorithm>
#include <vector>

namespace projfs::snapshot {
namespace {

constexpr std::int64_t kPeriod = 900'000;

TEST(Schedule, WhoDidNotChangeIsNotThere) {
  Schedule schedule;
  EXPECT_FALSE(schedule.next_due());
  EXPECT_FALSE(schedule.take(1'000'000'000));
}

TEST(Schedule, AChangeIsDueWithinOnePeriod) {
  for (const std::int64_t now : {0ll, 1ll, 899'999ll, 123'456'789ll}) {
    for (const auto* id : {"a", "b", "project", "z9"}) {
      const auto due = Schedule::next_place(id, kPeriod, now);
      EXPECT_GT(due, now);
      EXPECT_LE(due, now + kPeriod);
      EXPECT_EQ(Schedule::next_place(id, kPeriod, due), due + kPeriod) << "places are periodic";
      EXPECT_EQ(Schedule::next_place(id, kPeriod, due - 1), due);
    }
  }
}

TEST(Schedule, LaterChangesDelayNothing) {
  Schedule schedule;
  schedule.changed("a", kPeriod, 1000);
  const auto due = *schedule.due("a");
  schedule.changed("a", kPeriod, due - 1);
  EXPECT_EQ(schedule.due("a"), due);
  EXPECT_EQ(schedule.size(), 1u);
  EXPECT_FALSE(schedule.take(due - 1));
  EXPECT_EQ(schedule.take(due), "a");
  EXPECT_FALSE(schedule.take(due + kPeriod)) << "not again before it changes again";
}

TEST(Schedule, AtMostOneInAPeriod) {
  Schedule schedule;
  std::int64_t last = -kPeriod;
  for (std::int64_t now = 0; now < 20 * kPeriod; now += 1000) {
    schedule.changed("a", kPeriod, now);  // changes all the time
    while (schedule.take(now)) {
      EXPECT_GE(now - last, kPeriod);
      last = now;
    }
  }
  EXPECT_GT(last, 18 * kPeriod);
}

TEST(Schedule, ANewPeriodReplacesTheOld) {
  Schedule schedule;
  schedule.changed("a", kPeriod, 0);
  schedule.changed("a", 60'000, 0);
  EXPECT_LE(*schedule.due("a"), 60'000);
  EXPECT_EQ(schedule.size(), 1u);
  schedule.remove("a");
  schedule.remove("a");
  EXPECT_FALSE(schedule.next_due());
}

// Ten thousand projects that changed while the daemon was down become a trickle.
TEST(Schedule, NoStorm) {
  Schedule schedule;
  constexpr int kProjects = 10'000;
  constexpr std::int64_t kNow = 86'400'000 * 3 + 17;
  for (int i = 0; i < kProjects; ++i)
    schedule.changed("project-" + std::to_string(i), kPeriod, kNow);
  int taken = 0, most = 0;
  for (std::int64_t now = kNow; now <= kNow + kPeriod; now += 1000) {
    int in_this_second = 0;
    while (schedule.take(now)) ++in_this_second;
    most = std::max(most, in_this_second);
    taken += in_this_second;
  }
  EXPECT_EQ(taken, kProjects);
  EXPECT_LT(most, 50) << "11 on average";
}

TEST(Schedule, TakesInTheOrderOfTime) {
  Schedule schedule;
  for (int i = 0; i < 100; ++i) schedule.changed(std::to_string(i), kPeriod, 0);
  std::int64_t before = 0;
  while (const auto next = schedule.next_due()) {
    EXPECT_GE(*next, before);
    before = *next;
    ASSERT_TRUE(schedule.take(*next));
  }
}

}  // namespace
}  // namespace projfs::snapshot
