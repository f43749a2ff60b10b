// SPDX-License-Identifier: MIT
#include "projfs/database.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/fault_rocks_env.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::TempDir;

class DatabaseTest : public ::testing::Test {
 protected:
  std::string path() const { return dir_.path() + "/meta"; }
  void create() {
    Database::Options options;
    options.create = true;
    auto opened = Database::open(path(), options);
    ASSERT_TRUE(opened) << opened.error().describe();
    db_ = std::move(*opened);
  }
  void reopen() {
    db_.reset();
    auto opened = Database::open(path(), {});
    ASSERT_TRUE(opened) << opened.error().describe();
    db_ = std::move(*opened);
  }
  void put(Family f, std::string_view key, std::string_view value) {
    rocksdb::WriteBatch batch;
    batch.Put(db_->family(f), rocksdb::Slice(key.data(), key.size()),
              rocksdb::Slice(value.data(), value.size()));
    ASSERT_TRUE(db_->commit(batch));
  }
  CounterVector counters(std::string_view key) {
    return decode_counters(db_->get(Family::kCounters, key).value().value_or("")).value();
  }

  TempDir dir_;
  std::unique_ptr<Database> db_;
};

TEST_F(DatabaseTest, OpeningNeedsADatabaseCreatingNeedsNone) {
  EXPECT_FALSE(Database::open(path(), {}));
  create();
  db_.reset();
  Database::Options options;
  options.create = true;
  EXPECT_FALSE(Database::open(path(), options));
  reopen();
}

TEST_F(DatabaseTest, WhatIsCommittedIsThereAfterReopening) {
  create();
  put(Family::kLive, "a", "1");
  put(Family::kHistory, "a", "2");
  put(Family::kLive, std::string_view("\0\xff", 2), "");
  reopen();
  EXPECT_EQ(db_->get(Family::kLive, "a").value(), "1");
  EXPECT_EQ(db_->get(Family::kHistory, "a").value(), "2");
  EXPECT_EQ(db_->get(Family::kLive, std::string_view("\0\xff", 2)).value(), "");
  EXPECT_EQ(db_->get(Family::kChanges, "a").value(), std::nullopt);
}

TEST_F(DatabaseTest, CountersMergeMemberByMember) {
  create();
  for (int i = 0; i < 1000; ++i) {
    rocksdb::WriteBatch batch;
    batch.Merge(db_->family(Family::kCounters), "p", encode_counters({1, -2, 0, i}));
    ASSERT_TRUE(db_->commit(batch));
  }
  const CounterVector expected{1000, -2000, 0, 499500};
  EXPECT_EQ(counters("p"), expected);
  reopen();
  EXPECT_EQ(counters("p"), expected);
  ASSERT_TRUE(db_->raw().Flush({}, db_->family(Family::kCounters)).ok());
  EXPECT_EQ(counters("p"), expected);
  EXPECT_EQ(counters("other"), CounterVector{});
}

TEST_F(DatabaseTest, CountersEncodeAndDecode) {
  EXPECT_EQ(encode_counters({}), "");
  EXPECT_EQ(encode_counters({5}).size(), 1u);
  const CounterVector all{1, -1, INT64_MAX, INT64_MIN, 0, 7, 0, 8};
  EXPECT_EQ(decode_counters(encode_counters(all)), all);
  EXPECT_EQ(decode_counters(std::string(9, '\0')), std::nullopt) << "too many members";
  EXPECT_EQ(decode_counters("\x80"), std::nullopt) << "cut short";
}

TEST_F(DatabaseTest, ADamagedCounterIsAnErrorNotANumber) {
  create();
  put(Family::kCounters, "p", "\x80");
  rocksdb::WriteBatch batch;
  batch.Merge(db_->family(Family::kCounters), "p", encode_counters({1}));
  (void)db_->commit(batch);
  const auto got = db_->get(Family::kCounters, "p");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, EIO);
}

TEST_F(DatabaseTest, ScansAreOrderedAndBounded) {
  create();
  for (const auto* key : {"b", "a", "d", "c"}) put(Family::kLive, key, key);
  const rocksdb::Slice upper("d");
  auto it = db_->scan(Family::kLive, &upper);
  std::string seen;
  for (it->Seek("b"); it->Valid(); it->Next()) seen += it->key().ToString();
  EXPECT_TRUE(it->status().ok());
  EXPECT_EQ(seen, "bc");
}

TEST_F(DatabaseTest, ASnapshotSeesThePast) {
  create();
  put(Family::kLive, "a", "old");
  const auto* snapshot = db_->raw().GetSnapshot();
  put(Family::kLive, "a", "new");
  put(Family::kLive, "b", "new");
  EXPECT_EQ(db_->get(Family::kLive, "a", snapshot).value(), "old");
  EXPECT_EQ(db_->get(Family::kLive, "a").value(), "new");
  auto it = db_->scan(Family::kLive, nullptr, snapshot);
  int n = 0;
  for (it->SeekToFirst(); it->Valid(); it->Next()) ++n;
  EXPECT_EQ(n, 1);
  it.reset();
  db_->raw().ReleaseSnapshot(snapshot);
}

TEST_F(DatabaseTest, TellsItsSize) {
  create();
  const auto before = db_->memory_bytes();
  for (int i = 0; i < 1000; ++i)
    put(Family::kLive, "k" + std::to_string(i), std::string(1000, 'x'));
  EXPECT_GT(db_->memory_bytes(), before + 900000);
  EXPECT_GT(db_->disk_bytes(), 900000u);
}

TEST_F(DatabaseTest, ManySyncsAtOnce) {
  create();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        put(Family::kLive, std::to_string(t) + "-" + std::to_string(i), "x");
        ASSERT_TRUE(db_->sync());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(db_->get(Family::kLive, "3-19").value());
}

// A batch is all there or not at all, and sync makes all before it durable, over all families.
TEST_F(DatabaseTest, SyncedBatchesSurviveAPowerCut) {
  testing::FaultEnv env(Env::posix(), dir_.path());
  const testing::FaultRocksEnv rocks(env);
  Database::Options options;
  options.create = true;
  options.env = rocks.get();
  {
    auto db = std::move(*Database::open(path(), options));
    rocksdb::WriteBatch batch;
    batch.Put(db->family(Family::kLive), "synced", "1");
    batch.Put(db->family(Family::kHistory), "synced", "1");
    ASSERT_TRUE(db->commit(batch));
    ASSERT_TRUE(db->sync());
    batch.Clear();
    batch.Put(db->family(Family::kLive), "lost", "1");
    ASSERT_TRUE(db->commit(batch));
    env.crash(1, testing::CrashMode::kDropUnsynced);
  }
  reopen();
  EXPECT_TRUE(db_->get(Family::kLive, "synced").value());
  EXPECT_TRUE(db_->get(Family::kHistory, "synced").value());
  EXPECT_FALSE(db_->get(Family::kLive, "lost").value());
}

TEST_F(DatabaseTest, ACommitWithSyncNeedsNoOther) {
  testing::FaultEnv env(Env::posix(), dir_.path());
  const testing::FaultRocksEnv rocks(env);
  Database::Options options;
  options.create = true;
  options.env = rocks.get();
  {
    auto db = std::move(*Database::open(path(), options));
    rocksdb::WriteBatch batch;
    batch.Put(db->family(Family::kLive), "a", "1");
    ASSERT_TRUE(db->commit(batch, true));
    env.crash(1, testing::CrashMode::kDropUnsynced);
  }
  reopen();
  EXPECT_TRUE(db_->get(Family::kLive, "a").value());
}

// Whoever syncs while the commit of another thread fails gets an error; the process does not end.
TEST_F(DatabaseTest, SyncsBesideACommitThatFails) {
  for (unsigned round = 0; round < 40; ++round) {
    const testing::TempDir dir;
    testing::FaultEnv env(Env::posix(), dir.path());
    const testing::FaultRocksEnv rocks(env);
    Database::Options options;
    options.create = true;
    options.env = rocks.get();
    auto db = std::move(*Database::open(dir.path() + "/meta", options));
    std::vector<std::thread> syncing;
    for (int t = 0; t < 3; ++t) {
      syncing.emplace_back([&] {
        while (db->sync()) {
        }
      });
    }
    env.inject({.op = testing::FaultOp::kWrite, .nth = 10 + round});
    Status committed;
    for (unsigned i = 0; committed && i < 1000; ++i) {
      rocksdb::WriteBatch batch;
      batch.Put(db->family(Family::kLive), std::to_string(i), "1");
      committed = db->commit(batch, i % 4 == 0);
    }
    for (auto& thread : syncing) thread.join();
    ASSERT_FALSE(committed);
    EXPECT_EQ(committed.error().code, EIO);
    EXPECT_FALSE(db->sync());
  }
}

TEST(FromRocksdbTest, ErrorsKeepTheirMeaning) {
  EXPECT_TRUE(from_rocksdb(rocksdb::Status::OK(), "x"));
  EXPECT_EQ(from_rocksdb(rocksdb::Status::NoSpace(), "x").error().code, ENOSPC);
  const auto corrupt = from_rocksdb(rocksdb::Status::Corruption("bad block"), "reading");
  EXPECT_EQ(corrupt.error().code, EIO);
  EXPECT_NE(corrupt.error().message.find("bad block"), std::string::npos);
}

}  // namespace
}  // namespace projfs
