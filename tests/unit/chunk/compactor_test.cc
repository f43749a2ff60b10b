// SPDX-License-Identifier: MIT
#include "chunk/compactor.h"

#include <fstream>

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

class CompactorTest : public StoreTest {
 protected:
  // 300 chunks over several packs, of which every `keep`-th stays.
  void fill(int keep) {
    std::vector<std::string> contents;
    for (int i = 0; i < 300; ++i) {
      contents.push_back(i % 2 == 0 ? text(i, 2000) : random_bytes(i, 2000));
    }
    const auto n = put(contents);
    std::vector<ChunkNo> dropped;
    for (std::size_t i = 0; i < n.size(); ++i) {
      if (keep != 0 && i % static_cast<std::size_t>(keep) == 0) {
        kept_.push_back(n[i]);
        kept_contents_.push_back(contents[i]);
      } else {
        dropped.push_back(n[i]);
      }
    }
    reference(dropped, -1);
    collect_all();
  }
  void expect_kept() {
    for (std::size_t i = 0; i < kept_.size(); ++i) expect_content(kept_[i], kept_contents_[i]);
    expect_clean(kept_);
  }
  std::vector<ChunkNo> kept_;
  std::vector<std::string> kept_contents_;
};

TEST_F(CompactorTest, GivesDeadSpaceBack) {
  fill(10);
  const auto before = store_->stats();
  EXPECT_GT(before.dead_bytes, before.pack_bytes / 2);
  compact_all(0.5);
  const auto after = store_->stats();
  EXPECT_EQ(after.chunks, before.chunks);
  EXPECT_EQ(after.unique_bytes, before.unique_bytes);
  EXPECT_LT(after.pack_bytes, before.pack_bytes / 4);
  EXPECT_LT(after.dead_bytes, after.pack_bytes / 2);
  expect_kept();
  open();
  expect_kept();
}

TEST_F(CompactorTest, WithoutDeadSpaceItDoesNothing) {
  fill(1);
  EXPECT_EQ(store_->stats().dead_bytes, 0u);
  EXPECT_FALSE(store_->compact(0.0).value());
  expect_kept();
}

TEST_F(CompactorTest, LeavesPacksThatAreMostlyAlive) {
  fill(2);
  EXPECT_FALSE(store_->compact(0.9).value());
  EXPECT_TRUE(store_->compact(0.3).value());
  expect_kept();
}

TEST_F(CompactorTest, RemovesPacksWithoutLiveChunks) {
  fill(0);
  EXPECT_GT(store_->stats().packs, 0u);
  compact_all(0.99);
  EXPECT_EQ(store_->stats().packs, 0u);
  EXPECT_EQ(store_->stats().pack_bytes, 0u);
  expect_kept();
  const auto n = put_one(text(7777, 3000));
  expect_content(n, text(7777, 3000));
  expect_clean({n});
}

TEST_F(CompactorTest, APackThatARoundWritesToStays) {
  auto round = store_->begin();
  const auto n = round->add(as_bytes(random_bytes(1, 5000)), {}).value();
  compact_all(0.0);
  ASSERT_TRUE(round->finish());
  reference({n}, 1);
  round.reset();
  expect_content(n, random_bytes(1, 5000));
  expect_clean({n});
}

TEST_F(CompactorTest, BlocksOfAnAbandonedRoundAreGivenBack) {
  auto round = store_->begin();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(round->add(as_bytes(random_bytes(i, 4000)), {}));
  round.reset();
  EXPECT_GT(store_->stats().dead_bytes, 50u * 4000);
  compact_all(0.5);
  EXPECT_EQ(store_->stats().dead_bytes, 0u);
  expect_clean({});
}

TEST_F(CompactorTest, MovesWhatItCanOutOfADamagedPack) {
  fill(3);
  kept_.clear();
  auto victim = pack_paths().front();
  std::filesystem::resize_file(victim, std::filesystem::file_size(victim) / 2);
  open();
  compact_all(0.1);
  EXPECT_TRUE(std::filesystem::exists(victim));
  EXPECT_FALSE(store_->compact(0.1).value());
}

TEST_F(CompactorTest, ACrashAnywhereLosesNothing) {
  fill(5);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(store_->compact(0.2));
    crash();
    expect_kept();
    // As if the crash came before the old pack was removed, or just after the new was begun.
    { std::ofstream(path_ + "/packs/00009999.pack") << "half a header"; }
    crash();
    expect_kept();
    EXPECT_FALSE(std::filesystem::exists(path_ + "/packs/00009999.pack"));
  }
}

}  // namespace
}  // namespace projfs::chunks
