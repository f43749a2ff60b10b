// SPDX-License-Identifier: MIT
//
// What opening makes of the things that a crash leaves behind.
#include <fstream>
#include <set>

#include "chunk/packs.h"
#include "chunk/record.h"
#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

using RecoveryTest = StoreTest;

TEST_F(RecoveryTest, BytesThatWereNeverCommittedAreCutOff) {
  const auto n = put_one(text(1, 3000));
  const auto size = std::filesystem::file_size(pack_paths().at(0));
  auto round = store_->begin();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(round->add(as_bytes(random_bytes(i, 3000)), {}));
  EXPECT_GT(std::filesystem::file_size(pack_paths().at(0)), size + 15000);
  const auto then = image();
  round.reset();
  open_at(then);
  EXPECT_EQ(std::filesystem::file_size(pack_paths().at(0)), size);
  expect_content(n, text(1, 3000));
  const auto m = put_one(random_bytes(1, 3000));
  expect_content(m, random_bytes(1, 3000));
  expect_clean({n, m});
}

TEST_F(RecoveryTest, APackThatTheIndexDoesNotKnowIsRemovedAndOtherFilesAreNot) {
  const auto n = put_one(text(1, 3000));
  close();
  std::ofstream(path_ + "/packs/00000007.pack") << pack_header(7) << "garbage";
  std::ofstream(path_ + "/packs/notes.txt") << "mine";
  open();
  EXPECT_FALSE(std::filesystem::exists(path_ + "/packs/00000007.pack"));
  EXPECT_TRUE(std::filesystem::exists(path_ + "/packs/notes.txt"));
  std::filesystem::remove(path_ + "/packs/notes.txt");
  expect_clean({n});
}

TEST_F(RecoveryTest, APackThatLostItsLastChunkGoesWithTheNextStart) {
  const auto n = put_one(text(1, 3000));
  reference({n}, -1);
  collect_all();
  EXPECT_EQ(pack_paths().size(), 1u);
  open();
  EXPECT_EQ(pack_paths().size(), 0u);
  expect_clean({});
  const auto m = put_one(text(2, 3000));
  open();
  expect_content(m, text(2, 3000));
  expect_clean({m});
}

TEST_F(RecoveryTest, EveryInstantOfARoundIsASoundStore) {
  enum { kBeforeFinish, kBeforeReferences, kBeforeEnd, kAfterEnd, kInstants };
  std::vector<ChunkNo> references;
  std::vector<std::string> contents;  // of each reference
  for (int step = 0; step < 3 * kInstants; ++step) {
    const int instant = step % kInstants;
    std::vector<std::string> fresh;
    for (int i = 0; i < 20; ++i) fresh.push_back(text(step * 100 + i, 1500));
    if (!contents.empty()) fresh.push_back(contents[step]);
    auto round = store_->begin();
    std::vector<ChunkNo> n;
    for (const auto& c : fresh) n.push_back(round->add(as_bytes(c), {}).value());
    auto then = image();
    ASSERT_TRUE(round->finish());
    if (instant == kBeforeReferences) then = image();
    reference(n, 1);
    if (instant == kBeforeEnd) then = image();
    round.reset();
    if (instant == kAfterEnd) then = image();
    if (instant >= kBeforeEnd) {
      references.insert(references.end(), n.begin(), n.end());
      contents.insert(contents.end(), fresh.begin(), fresh.end());
    }
    open_at(then);
    for (const bool cleaned : {false, true}) {
      expect_clean(references);
      for (std::size_t i = 0; i < references.size(); ++i) {
        expect_content(references[i], contents[i]);
      }
      if (cleaned) break;
      collect_all();
      const std::set<ChunkNo> distinct(references.begin(), references.end());
      EXPECT_EQ(store_->stats().chunks, distinct.size());
      if (step % 2 == 0) compact_all(0.3);
    }
  }
}

TEST_F(RecoveryTest, MalformedRecordsOfTheIndexAreRefusedWithASentence) {
  put_one(text(1, 3000));
  store_.reset();
  rocksdb::WriteBatch batch;
  batch.Put(db_->family(Family::kSystem), prefixed_key(kPackPrefix, 1), "\xff");
  ASSERT_TRUE(db_->commit(batch));
  const auto store = ChunkStore::open(Env::posix(), *db_, path_ + "/packs", options_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, EIO);
  EXPECT_NE(store.error().message.find("pack record"), std::string::npos);
}

}  // namespace
}  // namespace projfs::chunks
