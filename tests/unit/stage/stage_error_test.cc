// SPDX-License-Identifier: MIT
//
// The stage on a disk that fails or fills up, and how often it syncs.
#include <gtest/gtest.h>

#include <thread>

#include "projfs/stage.h"
#include "support/fault_env.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::CrashMode;
using testing::FaultEnv;
using testing::FaultOp;
using testing::TempDir;

class StageErrorTest : public ::testing::Test {
 protected:
  StageErrorTest() {
    options_.lanes = 1;
    options_.segment_bytes = 256 << 10;
    options_.spare_segments = 0;
    restart();
  }

  // Opens the stage in a new Env, after a crash of the old one.
  void restart(CrashMode mode = CrashMode::kKeepAll) {
    if (env_) env_->crash(1, mode);
    stage_.reset();
    offsets_.clear();
    env_ = std::make_unique<FaultEnv>(Env::posix(), dir_.path());
    auto opened = Stage::open(*env_, dir_.path() + "/stage", options_, next_seq_,
                              [&](const StageRecord& r, StageSeq, const StageRef&) {
                                offsets_.push_back(r.offset);
                                return Result<bool>(true);
                              });
    ASSERT_TRUE(opened) << opened.error().describe();
    stage_ = std::move(*opened);
    next_seq_ = stage_->last_seq() + 1000;
  }
  Result<Stage::Appended> append(std::uint64_t offset, std::size_t size = 1000) {
    StageRecord r;
    r.project = 1;
    r.inode = 1;
    r.offset = offset;
    return stage_->append(r, as_bytes(std::string(size, 'x')));
  }
  using Offsets = std::vector<std::uint64_t>;

  TempDir dir_;
  Stage::Options options_;
  StageSeq next_seq_ = 1;
  std::unique_ptr<FaultEnv> env_;
  std::unique_ptr<Stage> stage_;
  Offsets offsets_;
};

// However much of the write the disk took.
TEST_F(StageErrorTest, ARefusedAppendIsNeverReplayed) {
  Offsets expected;
  for (const std::uint64_t taken : {0, 10, 64, 500, 1064, 100000}) {
    ASSERT_TRUE(append(expected.emplace_back(taken * 2)));
    env_->inject({.op = FaultOp::kWrite, .code = ENOSPC, .bytes_taken = taken});
    const auto refused = append(taken * 2 + 1, taken == 100000 ? 200000 : 1000);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ENOSPC);
    restart(taken % 20 == 0 ? CrashMode::kKeepAll : CrashMode::kDropUnsynced);
    if (taken % 20 != 0) expected = offsets_;  // never synced, so it may be gone
    EXPECT_EQ(offsets_, expected) << taken;
  }
  EXPECT_EQ(std::count_if(offsets_.begin(), offsets_.end(), [](auto o) { return o % 2; }), 0);
}

TEST_F(StageErrorTest, AppendsGoOnAfterARefusedOne) {
  ASSERT_TRUE(append(1));
  env_->inject({.op = FaultOp::kWrite, .bytes_taken = 5000});
  EXPECT_FALSE(append(2, 5000));
  ASSERT_TRUE(append(3));
  ASSERT_TRUE(append(4));
  ASSERT_TRUE(stage_->sync_all());
  restart(CrashMode::kDropUnsynced);
  EXPECT_EQ(offsets_, (Offsets{1, 3, 4}));
}

// The second half of an append, in a new segment, fails.
TEST_F(StageErrorTest, ARefusedAppendOverTwoSegmentsLeavesNothing) {
  ASSERT_TRUE(append(1, 100000));
  env_->inject({.op = FaultOp::kAllocate, .code = ENOSPC});
  EXPECT_EQ(append(1 << 20, 300000).error().code, ENOSPC);
  // Its first record fits into the old segment, its begin and the next one go to a new one.
  env_->inject({.op = FaultOp::kWrite, .nth = 5, .bytes_taken = 1 << 20});
  EXPECT_EQ(append(2 << 20, 300000).error().code, EIO);
  ASSERT_TRUE(append(2));
  restart();
  EXPECT_EQ(offsets_, (Offsets{1, 2}));
}

// Neither writing nor wiping works: the lane goes on elsewhere, and replay knows.
TEST_F(StageErrorTest, ARecordThatCannotBeWipedIsVoid) {
  ASSERT_TRUE(append(1));
  env_->inject({.op = FaultOp::kWrite, .times = 3, .bytes_taken = 5000});
  EXPECT_FALSE(append(2));
  EXPECT_EQ(stage_->sync_all().error().code, EIO) << "what is on disk is in doubt";
  ASSERT_TRUE(append(3));
  restart();
  EXPECT_EQ(offsets_, (Offsets{1, 3}));
  ASSERT_TRUE(stage_->sync_all());
  restart();
  EXPECT_EQ(offsets_, (Offsets{1, 3}));
}

TEST_F(StageErrorTest, AFailedSyncIsNeverForgotten) {
  const auto lost = append(1).value();
  env_->inject({.op = FaultOp::kSync});
  EXPECT_EQ(stage_->sync(1, 1).error().code, EIO);
  // The kernel would call the next one a success.
  EXPECT_EQ(stage_->sync(1, 1).error().code, EIO);
  ASSERT_TRUE(append(2));
  EXPECT_EQ(stage_->sync_all().error().code, EIO);
  // Only when nobody needs the segment any more.
  for (const auto& ref : lost.refs) stage_->release(ref);
  ASSERT_TRUE(stage_->checkpoint());
  ASSERT_TRUE(stage_->sync_all());
  restart(CrashMode::kDropUnsynced);
  EXPECT_EQ(offsets_, (Offsets{2}));
}

TEST_F(StageErrorTest, AFullDiskRefusesAndRecovers) {
  env_->limit_growth(512 << 10);
  std::vector<StageRef> refs;
  Offsets expected;
  for (std::uint64_t i = 1;; ++i) {
    auto appended = append(i, 50000);
    if (!appended) {
      EXPECT_EQ(appended.error().code, ENOSPC);
      break;
    }
    expected.push_back(i);
    refs.push_back(appended->refs.at(0));
  }
  EXPECT_GT(refs.size(), 6u);
  EXPECT_EQ(stage_->disk_bytes(), 512u << 10);
  // Freeing needs no space.
  for (std::size_t i = 0; i < 5; ++i) stage_->release(refs[i]);
  ASSERT_TRUE(stage_->checkpoint());
  ASSERT_TRUE(append(100, 50000));
  expected.erase(expected.begin(), expected.begin() + 5);
  expected.push_back(100);
  restart();
  EXPECT_EQ(offsets_, expected);
}

TEST_F(StageErrorTest, AFailedReplayLeavesTheStageAsItWas) {
  ASSERT_TRUE(append(1));
  stage_.reset();
  const auto failed = Stage::open(
      *env_, dir_.path() + "/stage", options_, next_seq_,
      [](const StageRecord&, StageSeq, const StageRef&) { return Result<bool>(fail(ENOMEM)); });
  EXPECT_EQ(failed.error().code, ENOMEM);
  restart();
  EXPECT_EQ(offsets_, (Offsets{1}));
}

// The order that the whole design rests on: what a checkpoint destroys was declared durable before.
TEST_F(StageErrorTest, ACheckpointWhoseIndexIsNotDurableDestroysNothing) {
  for (std::uint64_t i = 1; i <= 6; ++i) stage_->release(append(i, 100000)->refs.at(0));
  EXPECT_EQ(stage_->checkpoint([] { return Status(fail(EIO, "the index")); }).error().message,
            "the index");
  restart();
  EXPECT_EQ(offsets_.size(), 6u);
}

TEST_F(StageErrorTest, ReleasesDuringACheckpointWaitForTheNext) {
  const auto a = append(1, 100000).value();
  const auto b = append(2, 100000).value();
  ASSERT_TRUE(append(3, 100000));
  stage_->release(a.refs[0]);
  ASSERT_TRUE(stage_->checkpoint([&] {
    stage_->release(b.refs[0]);
    return Status();
  }));
  restart();
  EXPECT_EQ(offsets_, (Offsets{1, 2, 3}));
}

TEST_F(StageErrorTest, ASyncWithNothingNewCostsNothing) {
  ASSERT_TRUE(append(1));
  ASSERT_TRUE(stage_->sync(1, 1));
  const auto before = env_->changes();
  ASSERT_TRUE(stage_->sync(1, 1));
  ASSERT_TRUE(stage_->sync_all());
  EXPECT_EQ(env_->changes(), before);
  ASSERT_TRUE(append(2));
  EXPECT_EQ(env_->changes(), before + 1) << "an append is one write";
  ASSERT_TRUE(stage_->sync(1, 1));
  EXPECT_EQ(env_->changes(), before + 2) << "a sync is one sync";
}

TEST_F(StageErrorTest, AMegabyteIsOneWrite) {
  options_.segment_bytes = 4 << 20;
  restart();
  ASSERT_TRUE(append(1));
  const auto before = env_->changes();
  EXPECT_EQ(append(2, 1 << 20)->refs.size(), 8u);
  EXPECT_EQ(env_->changes(), before + 1);
}

}  // namespace
}  // namespace projfs
