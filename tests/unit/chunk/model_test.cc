// SPDX-License-Identifier: MIT
//
// Random operations on a store and on a map in memory, compared all the time; and the same by
// several threads at once.
#include <atomic>
#include <map>
#include <thread>

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

class Model : public StoreTest {
 protected:
  std::string content(std::uint64_t id) {
    const auto size = 1 + id * 7919 % 4000;
    return id % 3 == 0 ? random_bytes(id, size) : text(id, size);
  }
  std::vector<ChunkNo> references() const {
    std::vector<ChunkNo> out;
    for (const auto& [n, held] : model_) out.insert(out.end(), held.count, n);
    return out;
  }
  void add(std::mt19937_64& random) {
    auto round = store_->begin();
    std::vector<std::pair<ChunkNo, std::uint64_t>> added;
    for (auto left = 1 + random() % 30; left > 0; --left) {
      const auto id = random() % 300;
      const auto n = round->add(as_bytes(content(id)), {});
      ASSERT_TRUE(n);
      added.emplace_back(*n, id);
      if (random() % 20 == 0) {
        ASSERT_TRUE(round->finish());
      }
    }
    const auto how = random() % 10;
    if (how == 0) return;  // dropped unfinished
    ASSERT_TRUE(round->finish());
    if (how == 1) return;  // finished, but never referred to
    for (const auto& [n, id] : added) {
      reference({n}, 1);
      auto& held = model_[n];
      if (held.count++ == 0) held.id = id;
      EXPECT_EQ(held.id, id);
    }
  }
  void drop(std::mt19937_64& random) {
    for (auto left = random() % 40; left > 0 && !model_.empty(); --left) {
      auto it = model_.lower_bound(random() % (model_.rbegin()->first + 1));
      const auto n = it->first;
      reference({n}, -1);
      if (--it->second.count == 0) model_.erase(it);
    }
  }
  void verify_some(std::mt19937_64& random) {
    for (int left = 20; left > 0 && !model_.empty(); --left) {
      const auto it = model_.lower_bound(random() % (model_.rbegin()->first + 1));
      expect_content(it->first, content(it->second.id));
    }
  }

  struct Held {
    std::uint64_t id = 0;
    std::size_t count = 0;
  };
  std::map<ChunkNo, Held> model_;
};

TEST_F(Model, RandomOperations) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int step = 0; step < 400 && !HasFatalFailure(); ++step) {
      switch (random() % 12) {
        case 0:
        case 1:
        case 2:
        case 3:
          add(random);
          break;
        case 4:
        case 5:
        case 6:
          drop(random);
          break;
        case 7:
          ASSERT_TRUE(store_->collect(1 + random() % 200));
          break;
        case 8:
          ASSERT_TRUE(store_->compact(static_cast<double>(random() % 100) / 100));
          break;
        case 9:
          if (random() % 4 == 0) open();
          break;
        case 10:
          if (random() % 8 == 0) expect_clean(references());
          break;
        default:
          verify_some(random);
      }
    }
    expect_clean(references());
    collect_all();
    EXPECT_EQ(store_->stats().chunks, model_.size());
    std::uint64_t bytes = 0;
    for (const auto& [n, held] : model_) bytes += content(held.id).size();
    EXPECT_EQ(store_->stats().unique_bytes, bytes);
  }
}

TEST_F(Model, ThreadsThatIngestReadDropCollectAndCompact) {
  std::atomic<bool> stop = false;
  std::atomic<int> failures = 0, reads = 0;
  std::vector<std::vector<std::pair<ChunkNo, std::uint64_t>>> held(2);
  const auto commit = [&](ChunkNo n, std::int64_t delta) {
    rocksdb::WriteBatch batch;
    store_->add_reference(batch, n, delta);
    if (!db_->commit(batch)) ++failures;
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < held.size(); ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      auto& mine = held[t];
      for (int i = 0; i < 150; ++i) {
        {
          const auto round = store_->begin();
          std::vector<std::pair<ChunkNo, std::uint64_t>> added;
          for (int k = 0; k < 15; ++k) {
            const auto id = random() % 200;
            const auto n = round->add(as_bytes(content(id)), {});
            if (!n) {
              ++failures;
              return;
            }
            added.emplace_back(*n, id);
          }
          if (!round->finish()) ++failures;
          for (const auto& [n, id] : added) {
            commit(n, 1);
            mine.emplace_back(n, id);
          }
        }
        std::shuffle(mine.begin(), mine.end(), random);
        for (std::size_t k = 0; k < std::min<std::size_t>(8, mine.size()); ++k) {
          const auto expected = content(mine[k].second);
          const auto got = get(mine[k].first, expected.size());
          if (!got || *got != expected) ++failures;
          ++reads;
        }
        while (mine.size() > 40) {
          commit(mine.back().first, -1);
          mine.pop_back();
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      if (!store_->collect(100)) ++failures;
      std::this_thread::yield();
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      if (!store_->compact(0.3)) ++failures;
      std::this_thread::yield();
    }
  });
  for (std::size_t t = 0; t < held.size(); ++t) threads[t].join();
  stop = true;
  for (std::size_t t = held.size(); t < threads.size(); ++t) threads[t].join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(reads, 2000);
  std::vector<ChunkNo> references;
  for (const auto& mine : held) {
    for (const auto& [n, id] : mine) {
      expect_content(n, content(id));
      references.push_back(n);
    }
  }
  expect_clean(references);
}

}  // namespace
}  // namespace projfs::chunks
