// SPDX-License-Identifier: MIT
#include "host/life_state.h"

#include <gtest/gtest.h>

namespace projfs {
namespace {

using enum LifeState;
constexpr LifeState kAll[] = {kStopped,  kStarting, kRunning, kRestarting,
                              kStopping, kSaving,   kError};

TEST(LifeState, NamesGoBothWays) {
  for (const auto state : kAll) EXPECT_EQ(life_state(name_of(state)), state);
  EXPECT_EQ(name_of(kRestarting), "restarting");
  EXPECT_FALSE(life_state("asleep"));
  EXPECT_FALSE(life_state(""));
}

TEST(LifeState, WhatLeadsToRunning) {
  EXPECT_FALSE(may_follow(kStopped, kRunning));
  EXPECT_TRUE(may_follow(kStopped, kStarting));
  EXPECT_TRUE(may_follow(kStarting, kRunning));
  EXPECT_TRUE(may_follow(kRestarting, kRunning));
  EXPECT_TRUE(may_follow(kError, kStarting));
  EXPECT_FALSE(may_follow(kRunning, kStarting));
  EXPECT_FALSE(may_follow(kRunning, kRunning));
}

TEST(LifeState, OneWorkAtATime) {
  for (const auto from : {kStarting, kRestarting, kStopping, kSaving}) {
    EXPECT_TRUE(is_passing(from));
    for (const auto to : {kStarting, kRestarting, kStopping})
      EXPECT_FALSE(may_follow(from, to)) << name_of(from) << " to " << name_of(to);
  }
  // The final snapshot is part of a stop.
  EXPECT_TRUE(may_follow(kStopping, kSaving));
  EXPECT_FALSE(may_follow(kStarting, kSaving));
}

TEST(LifeState, EverythingMayFailAndNothingIsADeadEnd) {
  for (const auto from : kAll) {
    EXPECT_TRUE(may_follow(from, kError)) << name_of(from);
    EXPECT_TRUE(may_follow(from, kStopped) || from == kStopped || from == kStarting)
        << name_of(from);
  }
}

}  // namespace
}  // namespace projfs
