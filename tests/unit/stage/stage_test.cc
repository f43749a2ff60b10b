// SPDX-License-Identifier: MIT
#include "projfs/stage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::TempDir;

struct Replayed {
  StageRecord record;
  StageSeq seq;
  StageRef ref;
};

class StageTest : public ::testing::Test {
 protected:
  StageTest() {
    options_.segment_bytes = 1 << 20;
    options_.spare_segments = 2;
  }

  std::string directory() const { return dir_.path() + "/stage"; }

  // Opens the stage; what is replayed goes to replayed_. All of it is needed if `needed`.
  void open(bool needed = true) {
    stage_.reset();
    replayed_.clear();
    auto opened = Stage::open(Env::posix(), directory(), options_, next_seq_,
                              [&](const StageRecord& r, StageSeq seq, const StageRef& ref) {
                                replayed_.push_back({r, seq, ref});
                                return Result<bool>(needed);
                              });
    ASSERT_TRUE(opened) << opened.error().describe();
    stage_ = std::move(*opened);
    next_seq_ = stage_->last_seq() + (1 << 20);
  }

  static StageRecord write_to(std::uint64_t inode, std::uint64_t offset = 0,
                              std::uint64_t project = 1) {
    StageRecord r;
    r.project = project;
    r.inode = inode;
    r.offset = offset;
    r.time_ns = 1234567890123456789;
    return r;
  }
  Stage::Appended append(const StageRecord& r, std::string_view data) {
    auto out = stage_->append(r, as_bytes(data));
    EXPECT_TRUE(out) << out.error().describe();
    return out ? *out : Stage::Appended{};
  }
  Result<std::string> read(const StageRef& ref) const {
    std::string out(ref.length, '\0');
    auto status = stage_->read(ref, 0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    if (!status) return tl::unexpected(status.error());
    return out;
  }
  std::size_t files() const {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator(directory())) ++n;
    return n;
  }

  TempDir dir_;
  Stage::Options options_;
  StageSeq next_seq_ = 1;
  std::unique_ptr<Stage> stage_;
  std::vector<Replayed> replayed_;
};

TEST_F(StageTest, WhatIsAppendedIsReadAndReplayed) {
  open();
  EXPECT_TRUE(replayed_.empty());
  const auto a = append(write_to(7, 100), "hello");
  StageRecord truncate = write_to(7);
  truncate.op = StageOp::kTruncate;
  truncate.flags = 5;
  truncate.length = 42;
  const auto b = append(truncate, "");
  ASSERT_EQ(a.refs.size(), 1u);
  ASSERT_EQ(b.refs.size(), 1u);
  EXPECT_LT(a.seq, b.seq);
  EXPECT_EQ(read(a.refs[0]).value(), "hello");
  EXPECT_EQ(stage_->staged_bytes(), 5u);
  EXPECT_EQ(stage_->last_seq(), b.seq);

  open();
  ASSERT_EQ(replayed_.size(), 2u);
  EXPECT_EQ(replayed_[0].record.op, StageOp::kWrite);
  EXPECT_EQ(replayed_[0].record.offset, 100u);
  EXPECT_EQ(replayed_[0].record.length, 5u);
  EXPECT_EQ(replayed_[0].record.project, 1u);
  EXPECT_EQ(replayed_[0].record.inode, 7u);
  EXPECT_EQ(replayed_[0].record.time_ns, 1234567890123456789);
  EXPECT_EQ(replayed_[0].seq, a.seq);
  EXPECT_EQ(replayed_[1].record.op, StageOp::kTruncate);
  EXPECT_EQ(replayed_[1].record.flags, 5);
  EXPECT_EQ(replayed_[1].record.length, 42u);
  EXPECT_EQ(read(replayed_[0].ref).value(), "hello");
  EXPECT_EQ(stage_->staged_bytes(), 5u);
}

TEST_F(StageTest, ALongWriteBecomesSeveralRecords) {
  open();
  std::string data(3 * Stage::kMaxRecordData + 777, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  const auto a = append(write_to(7, 4096), data);
  ASSERT_EQ(a.refs.size(), 4u);
  EXPECT_EQ(a.refs.back().seq, a.seq);
  std::string joined;
  for (const auto& ref : a.refs) joined += read(ref).value();
  EXPECT_EQ(joined, data);
  std::string part(1000, '\0');
  ASSERT_TRUE(
      stage_->read(a.refs[1], 500, {reinterpret_cast<std::uint8_t*>(part.data()), part.size()}));
  EXPECT_EQ(part, data.substr(Stage::kMaxRecordData + 500, 1000));

  open();
  ASSERT_EQ(replayed_.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(replayed_[i].record.offset, 4096 + i * Stage::kMaxRecordData);
}

TEST_F(StageTest, AWriteLargerThanASegmentSpansSegments) {
  open();
  const std::string data(3 << 20, 'x');
  const auto a = append(write_to(7), data);
  EXPECT_EQ(a.refs.size(), 24u);
  EXPECT_NE(a.refs.front().segment, a.refs.back().segment);
  open();
  EXPECT_EQ(replayed_.size(), 24u);
  EXPECT_EQ(stage_->staged_bytes(), data.size());
}

TEST_F(StageTest, RefusesWhatIsNoChange) {
  open();
  EXPECT_EQ(stage_->append(write_to(1), {}).error().code, EINVAL);
  auto punch = write_to(1);
  punch.op = StageOp::kPunch;
  EXPECT_EQ(stage_->append(punch, as_bytes("x")).error().code, EINVAL);
  const auto a = append(write_to(1), "abc");
  std::array<std::uint8_t, 3> out{};
  EXPECT_EQ(stage_->read(a.refs[0], 1, out).error().code, EINVAL);
}

// Twice as many bytes as the spares hold pass through, and the files stay few.
TEST_F(StageTest, ReleasedSegmentsAreRecycledAtACheckpoint) {
  options_.lanes = 1;
  open();
  const std::string data(100 << 10, 'x');
  std::uint64_t most = 0;
  for (int i = 0; i < 100; ++i) {
    for (const auto& ref : append(write_to(i), data).refs) stage_->release(ref);
    ASSERT_TRUE(stage_->checkpoint());
    most = std::max(most, stage_->disk_bytes());
  }
  EXPECT_EQ(stage_->staged_bytes(), 0u);
  EXPECT_LE(most, 4u << 20);
  open(false);
  EXPECT_LE(replayed_.size(), 10u);
}

TEST_F(StageTest, NothingIsRecycledBeforeTheCheckpoint) {
  options_.lanes = 1;
  open();
  const std::string data(128 << 10, 'x');
  for (int i = 0; i < 30; ++i) {
    for (const auto& ref : append(write_to(i), data).refs) stage_->release(ref);
  }
  open();
  EXPECT_EQ(replayed_.size(), 30u);
}

// Appenders, readers, releasers, syncs and checkpoints side by side; then all that was not released
// is there, in order within each inode.
TEST_F(StageTest, ManyThreads) {
  options_.segment_bytes = 256 << 10;
  open();
  constexpr int kThreads = 4;
  constexpr std::uint64_t kAppends = 400;
  std::array<std::vector<std::uint64_t>, kThreads> kept;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::string out;
      for (std::uint64_t i = 0; i < kAppends; ++i) {
        const std::string data(500 + i * 7 % 9000, static_cast<char>('a' + t));
        const auto appended = stage_->append(write_to(t, i), as_bytes(data));
        ASSERT_TRUE(appended);
        const auto& ref = appended->refs.at(0);
        out.assign(ref.length, '\0');
        ASSERT_TRUE(
            stage_->read(ref, 0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}));
        ASSERT_EQ(out, data);
        if (i % 20 == 0) {
          kept[t].push_back(i);
        } else {
          stage_->release(ref);
        }
        if (i % 16 == 0) {
          ASSERT_TRUE(stage_->sync(1, t));
        }
      }
    });
  }
  std::thread checkpoints([&] {
    while (!stop) {
      ASSERT_TRUE(stage_->checkpoint());
      ASSERT_TRUE(stage_->sync_all());
      std::this_thread::yield();
    }
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  checkpoints.join();
  ASSERT_TRUE(stage_->checkpoint());

  open();
  std::array<std::vector<std::uint64_t>, kThreads> found;
  StageSeq last = 0;
  for (const auto& r : replayed_) {
    auto& list = found.at(r.record.inode);
    if (!list.empty()) {
      EXPECT_GT(r.record.offset, list.back());
    }
    list.push_back(r.record.offset);
    last = std::max(last, r.seq);
  }
  for (int t = 0; t < kThreads; ++t) {
    for (const auto i : kept[t])
      EXPECT_TRUE(std::binary_search(found[t].begin(), found[t].end(), i)) << t << " " << i;
  }
  EXPECT_GE(stage_->last_seq(), last);
}

// Other lanes, other segment sizes: a store may be reopened with other options.
TEST_F(StageTest, OptionsMayChangeBetweenOpenings) {
  std::map<std::uint64_t, std::vector<std::uint64_t>> expected;
  for (unsigned round = 0; round < 6; ++round) {
    options_.lanes = 1 + round % 3;
    options_.segment_bytes = (256 << 10) << (round % 2);
    open();
    std::map<std::uint64_t, std::vector<std::uint64_t>> found;
    for (const auto& r : replayed_) found[r.record.inode].push_back(r.record.offset);
    ASSERT_EQ(found, expected);
    for (std::uint64_t i = 0; i < 100; ++i) {
      append(write_to(i % 7, round * 1000 + i), std::string(3000, 'x'));
      expected[i % 7].push_back(round * 1000 + i);
    }
  }
}

// A record nobody releases holds its own segment, not those behind it.
TEST_F(StageTest, AnOldRecordDoesNotHoldTheRest) {
  options_.lanes = 1;
  options_.segment_bytes = 256 << 10;
  open();
  append(write_to(1, 77), "old");
  for (int i = 0; i < 100; ++i) {
    for (const auto& ref : append(write_to(2, i), std::string(100000, 'x')).refs)
      stage_->release(ref);
    ASSERT_TRUE(stage_->checkpoint());
  }
  EXPECT_LE(stage_->disk_bytes(), 6u * (256 << 10));
  for (int round = 0; round < 3; ++round) {
    open();
    ASSERT_FALSE(replayed_.empty());
    EXPECT_EQ(replayed_[0].record.offset, 77u);
    for (std::size_t i = 1; i < replayed_.size(); ++i) stage_->release(replayed_[i].ref);
    ASSERT_TRUE(stage_->checkpoint());
  }
}

}  // namespace
}  // namespace projfs
