// SPDX-License-Identifier: MIT
#include "chunk/checker.h"

#include <gmock/gmock.h>
#include <fstream>

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class CheckerTest : public StoreTest {
 protected:
  CheckerTest() {
    for (int i = 0; i < 20; ++i) numbers_.push_back(put_one(text(i, 1500)));
    raw_ = put_one(random_bytes(1, 1500));
    numbers_.push_back(raw_);
    EXPECT_EQ(check(numbers_), std::vector<std::string>());
  }
  void change(const std::function<void(rocksdb::WriteBatch&)>& what) {
    rocksdb::WriteBatch batch;
    what(batch);
    ASSERT_TRUE(db_->commit(batch));
  }
  void put_record(Family family, std::string_view key, std::string_view value) {
    change(
        [&](auto& b) { b.Put(db_->family(family), rocksdb::Slice(key), rocksdb::Slice(value)); });
  }
  void erase_record(Family family, std::string_view key) {
    change([&](auto& b) { b.Delete(db_->family(family), rocksdb::Slice(key)); });
  }
  ChunkRecord record(ChunkNo n) {
    return ChunkRecord::decode(*db_->get(Family::kChunks, number_key(n)).value()).value();
  }
  void expect_problem(const std::string& part, bool read_data = false) {
    EXPECT_THAT(check(numbers_, read_data), Contains(HasSubstr(part)));
  }

  std::vector<ChunkNo> numbers_;
  ChunkNo raw_ = 0;
};

TEST_F(CheckerTest, ReferenceCountTooHigh) {
  reference({numbers_[3]}, 1);
  expect_problem("has a reference count of 2, but 1 references lead to it");
}

TEST_F(CheckerTest, ReferenceCountTooLow) {
  numbers_.push_back(numbers_[3]);
  expect_problem("has a reference count of 1, but 2 references lead to it");
}

TEST_F(CheckerTest, ReferenceToNothing) {
  numbers_.push_back(numbers_.back() + 1000000);
  expect_problem("a number never given out");
  numbers_.pop_back();
  put_record(Family::kRefs, number_key(numbers_.back() + 1), encode_counters({1}));
  expect_problem("is referenced, but not in the index");
}

TEST_F(CheckerTest, ChunkRecordMissing) {
  erase_record(Family::kChunks, number_key(numbers_[3]));
  expect_problem("chunk " + std::to_string(numbers_[3]) + " is referenced, but not in the index");
  expect_problem("the hash index leads to chunk " + std::to_string(numbers_[3]));
  expect_problem("the totals say");
}

TEST_F(CheckerTest, ChunkRecordMalformed) {
  put_record(Family::kChunks, number_key(numbers_[3]), "nonsense");
  expect_problem("the record of chunk " + std::to_string(numbers_[3]) + " is malformed");
}

TEST_F(CheckerTest, ChunkThatNobodyWillRemove) {
  reference({numbers_[3]}, -1);
  const auto dead = db_->scan(Family::kDead);
  dead->SeekToFirst();
  ASSERT_TRUE(dead->Valid());
  erase_record(Family::kDead, dead->key().ToStringView());
  numbers_.erase(numbers_.begin() + 3);
  expect_problem("has no reference and will never be removed");
}

TEST_F(CheckerTest, HashIndexIncomplete) {
  erase_record(Family::kHashes, hash_key(record(numbers_[3]).hash));
  expect_problem("the hash index does not know chunk");
  expect_problem("the hash index has 20 entries for 21 chunks");
}

TEST_F(CheckerTest, HashIndexLeadsAstray) {
  std::string value;
  put_varint(value, numbers_[4]);
  put_record(Family::kHashes, hash_key(record(numbers_[3]).hash), value);
  expect_problem("the hash index leads from the hash of chunk");
  put_record(Family::kHashes, "0123456789abcdef", value);
  expect_problem("which does not have that hash");
}

TEST_F(CheckerTest, CountersOff) {
  put_record(Family::kCounters, pack_counter_key(1), encode_counters({1, 2, 3}));
  expect_problem("the counters of 00000001.pack say");
  expect_problem("the pack counters in memory differ");
}

TEST_F(CheckerTest, TotalsOff) {
  put_record(Family::kCounters, kTotalsKey, encode_counters({1, 2, 3}));
  expect_problem("the totals say 1 chunks");
  expect_problem("the chunk totals in memory differ");
}

TEST_F(CheckerTest, PackRecordTooShortOrTooNarrow) {
  put_record(Family::kSystem, prefixed_key(kPackPrefix, 1), PackRecord{}.encode());
  expect_problem("lies outside of the committed part");
  expect_problem("which its number ranges leave out");
}

TEST_F(CheckerTest, PackWithoutCounters) {
  erase_record(Family::kCounters, pack_counter_key(1));
  erase_record(Family::kSystem, prefixed_key(kPackPrefix, 1));
  expect_problem("which has no counters");
}

TEST_F(CheckerTest, NextNumberTooLow) {
  put_record(Family::kSystem, kNextChunkKey, number_key(3));
  expect_problem("but the next number is 3");
}

TEST_F(CheckerTest, PackFileMissingCutOffOrWithABadHeader) {
  const auto path = pack_paths().at(0);
  {
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.put('X');
  }
  expect_problem("does not start like a pack");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  expect_problem("bytes, but its chunks need");
  std::filesystem::remove(path);
  expect_problem("00000001.pack: ");
}

TEST_F(CheckerTest, DamagedBytes) {
  const auto r = record(raw_);
  std::fstream f(pack_paths().at(0), std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(static_cast<std::streamoff>(r.block.offset + kBlockHeader + 7));
  f.put('X').flush();
  EXPECT_EQ(check(numbers_, false), std::vector<std::string>());
  expect_problem("the checksum of the block is wrong", true);
}

TEST_F(CheckerTest, ContentThatIsNotWhatItsNameSays) {
  // A block whose checksum is right around bytes that are wrong, as a fault in memory would make
  // it.
  const auto r = record(raw_);
  auto wrong = random_bytes(1, 1500);
  wrong[77] = static_cast<char>(wrong[77] ^ 1);
  const auto header =
      block_header(Codec::kRaw, r.block.pack, r.block.offset, 1500, as_bytes(wrong));
  std::fstream f(pack_paths().at(0), std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(static_cast<std::streamoff>(r.block.offset));
  f << as_view(header) << wrong << std::flush;
  expect_problem("its content has the SHA-256", true);
  // Known as damaged from now on: the same content is stored anew.
  EXPECT_EQ(put_one(random_bytes(1, 1500)), raw_);
  numbers_.push_back(raw_);
  EXPECT_EQ(check(numbers_, true), std::vector<std::string>());
}

TEST_F(CheckerTest, LooksAtTheSnapshotItIsGiven) {
  const auto* snapshot = db_->raw().GetSnapshot();
  const auto then = numbers_;
  reference({numbers_[0], numbers_[1]}, -1);
  collect_all();
  compact_all(0.01);
  put({text(100, 3000)});
  const auto found = store_->check(
      snapshot,
      [&](const ChunkStore::ReferenceSink& sink) -> Status {
        for (const auto n : then) sink(n);
        return {};
      },
      true);
  db_->raw().ReleaseSnapshot(snapshot);
  ASSERT_TRUE(found);
  for (const auto& p : *found) ADD_FAILURE() << p.what;
}

TEST_F(CheckerTest, AnErrorOfTheCallerIsPassedOn) {
  const auto found = store_->check(
      nullptr, [](const ChunkStore::ReferenceSink&) -> Status { return fail(EINTR, "stopped"); },
      false);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, EINTR);
}

}  // namespace
}  // namespace projfs::chunks
