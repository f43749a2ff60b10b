// SPDX-License-Identifier: MIT
#include "host/life_records.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <filesystem>
#include <fstream>
#include <vector>

#include "support/temp_dir.h"

namespace projfs {
namespace {

class LifeRecordsTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  std::string at_ = dir_.path() + "/lifecycle";
};

TEST_F(LifeRecordsTest, AProjectNeverHeardOfIsStopped) {
  LifeRecords lives(at_);
  EXPECT_EQ(lives.of("a"), Life());
  EXPECT_FALSE(std::filesystem::exists(at_)) << "asking writes nothing";
}

TEST_F(LifeRecordsTest, ChangesAreCheckedAndTold) {
  LifeRecords lives(at_);
  std::vector<std::string> heard;
  lives.listen([&](const std::string& id, LifeState from, const Life& now) {
    heard.push_back(id + " " + std::string(name_of(from)) + " " + std::string(name_of(now.state)));
  });
  const auto skipped = lives.enter("a", LifeState::kRunning);
  ASSERT_FALSE(skipped);
  EXPECT_EQ(skipped.error().code, EBUSY);
  ASSERT_TRUE(lives.enter("a", LifeState::kStarting, "checking"));
  EXPECT_EQ(lives.of("a").step, "checking");
  EXPECT_GT(lives.of("a").since_ns, 0);
  lives.step("a", "mounting", 0.5);
  EXPECT_EQ(lives.of("a").progress, 0.5);
  const auto twice = lives.enter("a", LifeState::kStarting);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message,
            "it is starting (mounting) at this moment; try again when that is done");
  ASSERT_TRUE(lives.enter("a", LifeState::kRunning));
  EXPECT_FALSE(lives.of("a").step);
  EXPECT_EQ(heard, (std::vector<std::string>{"a stopped starting", "a starting running"}));
}

TEST_F(LifeRecordsTest, EnterFromChangesNothingInAnotherState) {
  LifeRecords lives(at_);
  EXPECT_FALSE(lives.enter_from("a", LifeState::kRunning, LifeState::kStopped));
  ASSERT_TRUE(lives.enter("a", LifeState::kStarting));
  EXPECT_FALSE(lives.enter_from("a", LifeState::kRunning, LifeState::kStopped));
  ASSERT_TRUE(lives.enter("a", LifeState::kRunning));
  EXPECT_TRUE(lives.enter_from("a", LifeState::kRunning, LifeState::kStopped));
  EXPECT_EQ(lives.of("a").state, LifeState::kStopped);
}

TEST_F(LifeRecordsTest, OutliveTheDaemon) {
  Life before;
  {
    LifeRecords lives(at_);
    ASSERT_TRUE(lives.enter("a", LifeState::kError, {}, "its disk is on fire"));
    before = lives.of("a");
  }
  LifeRecords lives(at_);
  EXPECT_EQ(lives.of("a"), before);
  EXPECT_EQ(lives.of("a").error, "its disk is on fire");
  lives.forget("a");
  EXPECT_EQ(lives.of("a"), Life());
  EXPECT_EQ(LifeRecords(at_).of("a"), Life());
}

TEST_F(LifeRecordsTest, WhatAKilledDaemonWasInTheMiddleOfIsOver) {
  {
    LifeRecords lives(at_);
    ASSERT_TRUE(lives.enter("starting", LifeState::kStarting, "mounting"));
    ASSERT_TRUE(lives.enter("saving", LifeState::kSaving, "snapshot"));
  }
  LifeRecords lives(at_);
  EXPECT_EQ(lives.of("starting").state, LifeState::kError);
  EXPECT_NE(lives.of("starting").error->find("daemon ended"), std::string::npos);
  EXPECT_EQ(lives.of("saving").state, LifeState::kStopped);
  EXPECT_FALSE(lives.of("saving").error);
  EXPECT_TRUE(lives.enter("starting", LifeState::kStarting)) << "it can be started again";
}

TEST_F(LifeRecordsTest, ADamagedFileConcernsOneProject) {
  {
    LifeRecords lives(at_);
    for (const auto* id : {"a", "b"}) {
      ASSERT_TRUE(lives.enter(id, LifeState::kError, {}, "x"));
    }
  }
  std::ofstream(at_ + "/a", std::ios::trunc) << "{\"format\":1,\"state\":\"dancing\"}";
  LifeRecords lives(at_);
  EXPECT_EQ(lives.of("a").state, LifeState::kStopped);
  EXPECT_EQ(lives.of("b").state, LifeState::kError);
  EXPECT_TRUE(lives.enter("a", LifeState::kStarting));
}

TEST_F(LifeRecordsTest, AStateThatCannotBeWrittenIsStillKnown) {
  std::ofstream(at_) << "a file where the directory should be";
  LifeRecords lives(at_);
  EXPECT_TRUE(lives.enter("a", LifeState::kStarting));
  EXPECT_EQ(lives.of("a").state, LifeState::kStarting);
}

}  // namespace
}  // namespace projfs
