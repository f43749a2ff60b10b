// SPDX-License-Identifier: MIT
//
// The stage in power cuts and kills: hundreds of random lives, each compared with a model of what
// must, may and must not come back.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "projfs/stage.h"
#include "support/fault_env.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::CrashMode;
using testing::FaultEnv;
using testing::FaultOp;
using testing::TempDir;

std::string content(std::uint64_t id, std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(id * 131 + i * 7 + (i >> 8));
  return out;
}

// One record as the model knows it. Its `id` is unique, and travels as the offset.
struct Known {
  std::uint64_t id = 0;
  std::uint32_t length = 0;
  bool synced = false;    // must survive
  bool in_doubt = false;  // the power went off inside the call
  // Released, but the index that said so is not durable: a power cut makes it needed again.
  bool released = false;
  bool settled = false;  // released for good
  StageRef ref;
};

class Life {
 public:
  Life(std::string root, std::uint64_t seed) : root_(std::move(root)), rng_(seed) {
    options_.segment_bytes = 256 << 10;
    options_.lanes = 1 + below(3);
    options_.spare_segments = below(3);
  }

  // One opening, some work, one crash. Failures are reported by gtest.
  void run(bool with_errors, CrashMode mode) {
    FaultEnv env(Env::posix(), root_);
    // Now and then the power fails while the last crash is still being dealt with.
    if (below(4) == 0) {
      env.power_off_after(below(40));
    } else {
      env.power_off_after(40 + below(400));
    }
    std::map<std::uint64_t, std::vector<Known>> found;
    StageSeq last = 0;
    auto opened =
        Stage::open(env, root_ + "/stage", options_, next_seq_,
                    [&](const StageRecord& r, StageSeq seq, const StageRef& ref) -> Result<bool> {
                      last = std::max(last, seq);
                      Known known;
                      known.id = r.offset;
                      known.length = static_cast<std::uint32_t>(r.length);
                      known.ref = ref;
                      known.settled = is_settled(r.inode, r.offset);
                      found[r.inode].push_back(known);
                      return !known.settled;
                    });
    if (!opened) {
      ASSERT_FALSE(env.powered()) << opened.error().describe();
      env.crash(rng_(), mode);
      return;
    }
    stage_ = std::move(*opened);
    ++opened_;
    next_seq_ = stage_->last_seq() + 1000;
    check(found);
    if (!::testing::Test::HasFatalFailure()) work(env, with_errors);
    env.crash(rng_(), mode);
    stage_.reset();
  }

  int opened() const { return opened_; }
  int lost() const { return lost_; }

 private:
  std::uint64_t below(std::uint64_t n) { return rng_() % n; }

  bool is_settled(std::uint64_t inode, std::uint64_t id) const {
    const auto list = inodes_.find(inode);
    if (list == inodes_.end()) return false;
    for (const auto& known : list->second) {
      if (known.id == id) return known.settled;
    }
    return false;
  }

  void check(std::map<std::uint64_t, std::vector<Known>>& found) {
    for (const auto& [inode, records] : found)
      ASSERT_TRUE(inodes_.contains(inode)) << "records of an inode that never was";
    for (auto& [inode, model] : inodes_) {
      auto& records = found[inode];
      // In order, each of them known.
      std::size_t next = 0;
      std::set<std::uint64_t> present;
      for (const auto& record : records) {
        while (next < model.size() && model[next].id != record.id) ++next;
        ASSERT_LT(next, model.size()) << "inode " << inode << ": record " << record.id
                                      << " comes twice, out of order or from nowhere";
        ASSERT_EQ(record.length, model[next].length);
        ++next;
        present.insert(record.id);
        std::string data(record.length, '\0');
        const auto status = stage_->read(
            record.ref, 0, {reinterpret_cast<std::uint8_t*>(data.data()), data.size()});
        ASSERT_TRUE(status) << status.error().describe();
        ASSERT_EQ(data, content(record.id, record.length));
      }
      // Nothing needed is missing before something that is there, and nothing that was synced.
      bool gap = false;
      for (const auto& known : model) {
        if (known.settled) continue;
        if (present.contains(known.id)) {
          ASSERT_FALSE(gap) << "inode " << inode << ": not a prefix";
        } else {
          ASSERT_FALSE(known.synced)
              << "inode " << inode << ": synced record " << known.id << " is lost";
          gap = true;
          ++lost_;
        }
      }
      for (auto& record : records) record.synced = true;
      model = std::move(records);
    }
  }

  void append(FaultEnv& env, bool with_errors) {
    if (with_errors && below(10) == 0) {
      static constexpr std::array kinds{FaultOp::kWrite, FaultOp::kSync, FaultOp::kAllocate,
                                        FaultOp::kSyncDirectory};
      env.inject({.op = kinds[below(kinds.size())],
                  .nth = static_cast<unsigned>(1 + below(3)),
                  .code = below(2) == 0 ? EIO : ENOSPC,
                  .bytes_taken = below(3) == 0 ? 1u << 20 : below(5000)});
    }
    const auto inode = 1 + below(6);
    const std::size_t size = below(20) == 0 ? 100000 + below(300000) : 1 + below(9000);
    const auto id = ++ids_ << 24;
    std::string data;
    std::vector<Known> pieces;
    for (std::size_t at = 0; at < size; at += Stage::kMaxRecordData) {
      Known known;
      known.id = id + at;
      known.length =
          static_cast<std::uint32_t>(std::min<std::size_t>(Stage::kMaxRecordData, size - at));
      data += content(known.id, known.length);
      pieces.push_back(known);
    }
    StageRecord record;
    record.project = 1;
    record.inode = inode;
    record.offset = id;
    const auto appended = stage_->append(record, as_bytes(data));
    auto& model = inodes_[inode];
    if (appended) {
      ASSERT_EQ(appended->refs.size(), pieces.size());
      for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i].ref = appended->refs[i];
    } else if (env.powered()) {
      return;  // refused: it must never be seen
    } else {
      for (auto& piece : pieces) piece.in_doubt = true;
    }
    model.insert(model.end(), pieces.begin(), pieces.end());
  }

  void release() {
    // Mostly the oldest, as ingestion would, sometimes one in the middle of things.
    for (auto& [inode, model] : inodes_) {
      if (below(2) == 0) continue;
      const auto upto = below(model.size() + 1);
      for (std::size_t i = below(3) == 0 ? upto / 2 : 0; i < upto; ++i) {
        auto& known = model[i];
        if (known.released || known.settled || known.in_doubt) continue;
        stage_->release(known.ref);
        known.released = true;
      }
    }
  }

  void work(FaultEnv& env, bool with_errors) {
    for (int i = 0; i < 200 && env.powered() && !::testing::Test::HasFatalFailure(); ++i) {
      const auto dice = below(100);
      if (dice < 80) {
        append(env, with_errors);
      } else if (dice < 88) {
        const auto inode = 1 + below(6);
        if (stage_->sync(1, inode)) {
          for (auto& known : inodes_[inode]) known.synced = true;
        }
      } else if (dice < 91) {
        if (stage_->sync_all()) {
          for (auto& [inode, model] : inodes_) {
            for (auto& known : model) known.synced = true;
          }
        }
      } else if (dice < 96) {
        release();
      } else {
        (void)stage_->checkpoint([&]() -> Status {
          for (auto& [inode, model] : inodes_) {
            for (auto& known : model) known.settled = known.settled || known.released;
          }
          return {};
        });
      }
    }
    // A power cut takes back what was not settled.
    for (auto& [inode, model] : inodes_) {
      for (auto& known : model) known.released = false;
    }
  }

  const std::string root_;
  std::mt19937_64 rng_;
  Stage::Options options_;
  StageSeq next_seq_ = 1;
  std::uint64_t ids_ = 0;
  std::unique_ptr<Stage> stage_;
  std::map<std::uint64_t, std::vector<Known>> inodes_;
  int opened_ = 0;
  int lost_ = 0;
};

struct Tally {
  int opened = 0;
  int lost = 0;
};

Tally live(std::uint64_t first_seed, int seeds, bool with_errors, CrashMode mode) {
  Tally tally;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    const TempDir dir;
    Life life(dir.path(), seed);
    for (int i = 0; i < 5; ++i) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", life " + std::to_string(i));
      life.run(with_errors, mode);
      if (::testing::Test::HasFatalFailure()) return tally;
    }
    tally.opened += life.opened();
    tally.lost += life.lost();
  }
  return tally;
}

TEST(StageCrashTest, RandomPowerCuts) {
  const auto tally = live(1000, 150, false, CrashMode::kRandom);
  EXPECT_GT(tally.opened, 400);
  EXPECT_GT(tally.lost, 100) << "the cuts cut nothing";
}

TEST(StageCrashTest, PowerCutsThatDropEverythingUnsynced) {
  const auto tally = live(2000, 40, false, CrashMode::kDropUnsynced);
  EXPECT_GT(tally.lost, 100);
}

TEST(StageCrashTest, RandomPowerCutsAndErrors) {
  const auto tally = live(3000, 150, true, CrashMode::kRandom);
  EXPECT_GT(tally.opened, 400);
  EXPECT_GT(tally.lost, 100);
}

TEST(StageCrashTest, AKillLosesNothing) {
  const auto tally = live(4000, 30, false, CrashMode::kKeepAll);
  EXPECT_GT(tally.opened, 80);
}

}  // namespace
}  // namespace projfs
