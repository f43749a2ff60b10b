// SPDX-License-Identifier: MIT
#include "meta/change.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <map>
#include <random>

#include "meta/view.h"

namespace projfs::meta {
namespace {

namespace stdfs = std::filesystem;

class ChangeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string dir = stdfs::temp_directory_path() / "projfs-change-XXXXXX";
    ASSERT_NE(mkdtemp(dir.data()), nullptr);
    path_ = dir;
    Database::Options options;
    options.create = true;
    auto db = Database::open(path_ + "/meta", options);
    ASSERT_TRUE(db) << db.error().describe();
    db_ = std::move(*db);
  }
  void TearDown() override {
    db_.reset();
    stdfs::remove_all(path_);
  }
  std::size_t count(Family family) {
    std::size_t n = 0;
    const auto it = db_->scan(family);
    for (it->SeekToFirst(); it->Valid(); it->Next()) ++n;
    return n;
  }
  Change::Old put(EpochState epochs, const std::string& key, const std::string& value,
                  std::optional<Epoch> born = std::nullopt) {
    Change change(*db_, 1, epochs);
    const auto old = change.put(key, value, born);
    EXPECT_TRUE(old);
    EXPECT_TRUE(change.commit());
    return *old;
  }
  Change::Old remove(EpochState epochs, const std::string& key) {
    Change change(*db_, 1, epochs);
    const auto old = change.remove(key);
    EXPECT_TRUE(old);
    EXPECT_TRUE(change.commit());
    return *old;
  }
  std::optional<std::string> at(const std::string& key, Epoch epoch) {
    auto value = View(*db_, epoch).get(key);
    EXPECT_TRUE(value);
    return *value;
  }

  std::string path_;
  std::unique_ptr<Database> db_;
  const std::string key_ = inode_key(1, 7);
};

TEST_F(ChangeTest, TheFirstEpochKeepsNoHistoryAndNoList) {
  put({1, 0}, key_, "a");
  put({1, 0}, key_, "b");
  remove({1, 0}, inode_key(1, 8));
  EXPECT_EQ(count(Family::kHistory), 0u);
  EXPECT_EQ(count(Family::kChanges), 0u);
  EXPECT_EQ(get_live(*db_, key_)->value().payload, "b");
  EXPECT_EQ(get_live(*db_, key_)->value().born, 1u);
}

TEST_F(ChangeTest, TheFirstChangeAfterASnapshotKeepsTheOldVersion) {
  put({1, 0}, key_, "a");
  EXPECT_EQ(put({2, 1}, key_, "b"), Change::Old::kKept);
  EXPECT_EQ(put({2, 1}, key_, "c"), Change::Old::kReplaced);  // in place
  EXPECT_EQ(at(key_, 1), "a");
  EXPECT_EQ(at(key_, 2), "c");
  EXPECT_EQ(count(Family::kHistory), 1u);
  EXPECT_EQ(count(Family::kChanges), 1u);
}

TEST_F(ChangeTest, DeletionKeepsTheOldVersionToo) {
  put({1, 0}, key_, "a");
  EXPECT_EQ(remove({2, 1}, key_), Change::Old::kKept);
  EXPECT_EQ(at(key_, 1), "a");
  EXPECT_EQ(at(key_, 2), std::nullopt);
  EXPECT_EQ(put({2, 1}, key_, "b"), Change::Old::kNone);
  EXPECT_EQ(at(key_, 1), "a");
  EXPECT_EQ(at(key_, 2), "b");
}

TEST_F(ChangeTest, AnUnnamedEpochBoundaryKeepsNoHistory) {
  put({1, 0}, key_, "a");
  // Epoch 1 was closed for replication only: nothing sees the old version.
  EXPECT_EQ(put({2, 0}, key_, "b"), Change::Old::kReplaced);
  EXPECT_EQ(count(Family::kHistory), 0u);
  EXPECT_EQ(count(Family::kChanges), 1u);
}

TEST_F(ChangeTest, WhatTheCallerKnowsOfTheOldVersionChangesNothing) {
  put({1, 0}, key_, "a", 0);
  EXPECT_EQ(put({2, 1}, key_, "b", 1), Change::Old::kKept);
  EXPECT_EQ(put({2, 1}, key_, "c", 2), Change::Old::kReplaced);
  EXPECT_EQ(at(key_, 1), "a");
}

TEST_F(ChangeTest, CountersAddUp) {
  for (int i = 0; i < 100; ++i) {
    Change change(*db_, 1, {});
    change.count(4096, i % 2 == 0 ? 1 : -1);
    ASSERT_TRUE(change.commit());
  }
  const auto value = db_->get(Family::kCounters, usage_key(1));
  ASSERT_TRUE(value && value->has_value());
  const auto counters = decode_counters(**value);
  EXPECT_EQ((*counters)[kUsedBytes], 409600);
  EXPECT_EQ((*counters)[kUsedInodes], 0);
}

// Random changes over many epochs, some of them snapshots: every snapshot reads as the records
// were.
TEST_F(ChangeTest, EverySnapshotReadsAsItWas) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(rng() % n); };
    const ProjectNo project = 100 + seed;
    // Names that are prefixes of each other must not be mixed up.
    std::vector<std::string> keys;
    for (int i = 0; i < 12; ++i)
      keys.push_back(xattr_key(project, 5, std::string(static_cast<std::size_t>(i) + 1, 'x')));
    std::map<std::string, std::string> now;
    std::map<Epoch, std::map<std::string, std::string>> snapshots;
    EpochState epochs;
    for (int step = 0; step < 2000; ++step) {
      if (below(25) == 0) {
        if (below(3) != 0) {
          snapshots[epochs.current] = now;
          epochs.last_snapshot = epochs.current;
        }
        ++epochs.current;
      }
      const auto& key = keys[below(static_cast<unsigned>(keys.size()))];
      Change change(*db_, project, epochs);
      if (below(4) == 0) {
        if (now.erase(key) != 0) {
          ASSERT_TRUE(change.remove(key));
        }
      } else {
        const auto value = std::to_string(step);
        ASSERT_TRUE(change.put(key, value));
        now[key] = value;
      }
      ASSERT_TRUE(change.commit());
    }
    ASSERT_GT(snapshots.size(), 20u);
    for (const auto& [epoch, state] : snapshots) {
      for (const auto& key : keys) {
        const auto it = state.find(key);
        const auto expected = it == state.end() ? std::nullopt : std::optional(it->second);
        ASSERT_EQ(at(key, epoch), expected) << "epoch " << epoch;
      }
    }
  }
}

}  // namespace
}  // namespace projfs::meta
