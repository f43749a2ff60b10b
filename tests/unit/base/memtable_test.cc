// SPDX-License-Identifier: MIT
#include "base/memtable.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::TempDir;

// A database that keeps everything in its memtable.
class MemtableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.memtable_factory = std::make_shared<BytewiseMemtables>();
    options.write_buffer_size = 1 << 30;
    rocksdb::DB* db = nullptr;
    const auto opened = rocksdb::DB::Open(options, dir_.path() + "/db", &db);
    ASSERT_TRUE(opened.ok()) << opened.ToString();
    db_.reset(db);
  }
  void put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(db_->Put({}, key, value).ok());
    model_[key] = value;
  }
  void remove(const std::string& key) {
    ASSERT_TRUE(db_->Delete({}, key).ok());
    model_.erase(key);
  }
  std::string get(const std::string& key, const rocksdb::Snapshot* at = nullptr) {
    rocksdb::ReadOptions options;
    options.snapshot = at;
    std::string value;
    const auto status = db_->Get(options, key, &value);
    return status.ok() ? value : status.IsNotFound() ? "none" : status.ToString();
  }
  std::unique_ptr<rocksdb::Iterator> iterator() {
    return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator({}));
  }
  void expect_model() {
    const auto it = iterator();
    it->SeekToFirst();
    for (const auto& [key, value] : model_) {
      ASSERT_TRUE(it->Valid());
      EXPECT_EQ(it->key().ToString(), key);
      EXPECT_EQ(it->value().ToString(), value);
      it->Next();
    }
    EXPECT_FALSE(it->Valid());
    it->SeekToLast();
    for (auto expected = model_.rbegin(); expected != model_.rend(); ++expected) {
      ASSERT_TRUE(it->Valid());
      EXPECT_EQ(it->key().ToString(), expected->first);
      it->Prev();
    }
    EXPECT_FALSE(it->Valid());
  }

  TempDir dir_;
  std::unique_ptr<rocksdb::DB> db_;
  std::map<std::string, std::string> model_;
};

TEST_F(MemtableTest, EmptyOneHasNothing) {
  const auto it = iterator();
  it->SeekToFirst();
  EXPECT_FALSE(it->Valid());
  it->SeekToLast();
  EXPECT_FALSE(it->Valid());
  it->Seek("a");
  EXPECT_FALSE(it->Valid());
  it->SeekForPrev("a");
  EXPECT_FALSE(it->Valid());
  EXPECT_EQ(get("a"), "none");
}

// Keys of every length around the words that are compared at once, and bytes beyond 127.
TEST_F(MemtableTest, OrdersKeysByTheirBytes) {
  for (std::size_t length = 1; length < 40; ++length) {
    for (const char last : {'\0', '\1', '\x7f', '\x80', '\xff'}) {
      std::string key(length, 'k');
      key.back() = last;
      put(key, std::to_string(length));
      key.front() = last;
      put(key, "front");
    }
  }
  put(std::string(300, 'k'), "a length of two bytes");
  expect_model();
}

TEST_F(MemtableTest, BehavesLikeAMapUnderRandomChanges) {
  std::mt19937 random(7);
  const auto key = [&] {
    std::string k("project0");
    for (auto n = random() % 20; n > 0; --n) k.push_back(static_cast<char>('a' + random() % 3));
    return k;
  };
  for (int i = 0; i < 20000; ++i) {
    if (random() % 3 == 0) {
      remove(key());
    } else {
      put(key(), std::to_string(i));
    }
  }
  expect_model();
  const auto it = iterator();
  for (int i = 0; i < 2000; ++i) {
    const auto wanted = key();
    const auto at = model_.lower_bound(wanted);
    it->Seek(wanted);
    ASSERT_EQ(it->Valid(), at != model_.end());
    if (it->Valid()) {
      EXPECT_EQ(it->key().ToString(), at->first);
    }
    const auto found = model_.find(wanted);
    EXPECT_EQ(get(wanted), found == model_.end() ? "none" : found->second);
    const auto after = model_.upper_bound(wanted);
    it->SeekForPrev(wanted);
    ASSERT_EQ(it->Valid(), after != model_.begin());
    if (it->Valid()) {
      EXPECT_EQ(it->key().ToString(), std::prev(after)->first);
    }
  }
}

TEST_F(MemtableTest, VersionsOfAKeyAreReadAsOfASnapshot) {
  put("key", "old");
  const auto* snapshot = db_->GetSnapshot();
  put("key", "new");
  put("kez", "other");
  EXPECT_EQ(get("key", snapshot), "old");
  EXPECT_EQ(get("kez", snapshot), "none");
  EXPECT_EQ(get("key"), "new");
  remove("key");
  EXPECT_EQ(get("key", snapshot), "old");
  EXPECT_EQ(get("key"), "none");
  db_->ReleaseSnapshot(snapshot);
}

TEST_F(MemtableTest, ManyWritersAndAReaderAtOnce) {
  constexpr int kWriters = 4, kEach = 4000;
  const auto key = [](int writer, int i) {
    return std::to_string(i * 7919 % kEach) + "-" + std::to_string(writer);
  };
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      std::string before;
      const auto it = iterator();
      for (it->SeekToFirst(); it->Valid(); it->Next()) {
        EXPECT_LT(before, it->key().ToString());
        before = it->key().ToString();
      }
    }
  });
  std::vector<std::thread> writers;
  writers.reserve(kWriters);
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kEach; ++i) {
        rocksdb::WriteBatch batch;
        batch.Put(key(w, i), std::to_string(i));
        batch.Put("last-" + std::to_string(w), std::to_string(i));
        EXPECT_TRUE(db_->Write({}, &batch).ok());
        EXPECT_EQ(get(key(w, i)), std::to_string(i));
      }
    });
  }
  for (auto& w : writers) w.join();
  done = true;
  reader.join();
  for (int w = 0; w < kWriters; ++w) {
    for (int i = 0; i < kEach; ++i) model_[key(w, i)] = std::to_string(i);
    model_["last-" + std::to_string(w)] = std::to_string(kEach - 1);
  }
  expect_model();
}

// The memory of an iterator goes back to whichever thread ended it.
TEST_F(MemtableTest, IteratorsMayEndInAnotherThread) {
  put("key", "value");
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<rocksdb::Iterator>> iterators;
    for (int i = 0; i < 200; ++i) {
      iterators.push_back(iterator());
      iterators.back()->SeekToFirst();
    }
    std::thread([&] { iterators.clear(); }).join();
    EXPECT_EQ(get("key"), "value");
  }
}

}  // namespace
}  // namespace projfs
