// SPDX-License-Identifier: MIT
#include "chunk/damage.h"

#include <fstream>

#include "chunk/packs.h"
#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

class DamageTest : public StoreTest {
 protected:
  void flip(const std::string& path, std::uint64_t at) {
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    const auto c = static_cast<char>(f.get() ^ 0x40);
    f.seekp(static_cast<std::streamoff>(at));
    f.put(c);
    ASSERT_TRUE(f.good());
  }
};

TEST_F(DamageTest, NoFlippedByteYieldsWrongData) {
  // One raw block, then a compressed block of two chunks.
  const std::vector<std::string> contents = {random_bytes(1, 1100), text(1, 600), text(2, 600)};
  const auto n = put(contents);
  const auto path = pack_paths().at(0);
  const auto size = std::filesystem::file_size(path);
  for (std::uint64_t at = 0; at < size; ++at) {
    flip(path, at);
    if (at % 64 == 0) {
      open();  // through a fresh store as well
    } else {
      store_ = ChunkStore::open(Env::posix(), *db_, path_ + "/packs", options_).value();
    }
    int bad = 0;
    for (std::size_t i = 0; i < n.size(); ++i) {
      const auto got = get(n[i], contents[i].size());
      if (got) {
        ASSERT_TRUE(*got == contents[i]) << "byte " << at;
      } else {
        ASSERT_EQ(got.error().code, EIO);
        ++bad;
      }
    }
    // Every byte of a block matters; those of the pack header do not to a reader.
    EXPECT_EQ(bad > 0, at >= kPackHeader) << "byte " << at;
    flip(path, at);
  }
}

TEST_F(DamageTest, IsRememberedNeverSharedAndHealed) {
  const auto a = random_bytes(1, 3000), b = random_bytes(2, 3000);
  const auto n = put({a, b});
  flip(pack_paths().at(0), kPackHeader + kBlockHeader + 5);
  open();
  expect_eio(n[0], 3000);
  expect_content(n[1], b);
  open();  // the mark survives: add() below does not read the block
  const auto packs_before = store_->stats().pack_bytes;
  EXPECT_EQ(put({a, b}), n);
  EXPECT_GT(store_->stats().pack_bytes, packs_before + 2900);
  expect_content(n[0], a);
  expect_clean({n[0], n[0], n[1], n[1]});
  // And once is enough.
  const auto packs_after = store_->stats().pack_bytes;
  EXPECT_EQ(put({a}), std::vector<ChunkNo>{n[0]});
  EXPECT_EQ(store_->stats().pack_bytes, packs_after);
  open();
  expect_content(n[0], a);
}

TEST_F(DamageTest, HealsEveryChunkOfABlockOnItsOwn) {
  const auto a = text(1, 2000), b = text(2, 2000), c = text(3, 2000);
  const auto n = put({a, b, c});
  flip(pack_paths().at(0), kPackHeader + 100);
  open();
  for (const auto chunk : n) expect_eio(chunk, 2000);
  EXPECT_EQ(put({b}), std::vector<ChunkNo>{n[1]});
  expect_eio(n[0], 2000);
  expect_content(n[1], b);
  EXPECT_EQ(put({c, a, c}), (std::vector<ChunkNo>{n[2], n[0], n[2]}));
  expect_content(n[0], a);
  expect_content(n[2], c);
  expect_clean({n[0], n[0], n[1], n[1], n[2], n[2], n[2]});
  EXPECT_EQ(store_->stats().chunks, 3u);
}

TEST_F(DamageTest, AMissingPackIsSaidAndHealed) {
  std::vector<std::string> contents;
  for (int i = 0; i < 60; ++i) contents.push_back(random_bytes(i, 3000));
  const auto n = put(contents);
  ASSERT_GE(pack_paths().size(), 2u);
  const auto before = store_->stats();
  std::filesystem::remove(pack_paths().front());
  open();
  expect_eio(n[0], 3000);
  expect_content(n.back(), contents.back());
  EXPECT_FALSE(check(n).empty());
  EXPECT_EQ(store_->stats().packs, before.packs - 1);
  EXPECT_EQ(put(contents), n);
  for (std::size_t i = 0; i < n.size(); ++i) expect_content(n[i], contents[i]);
  compact_all(0.9);  // forgets the missing pack
  auto references = n;
  references.insert(references.end(), n.begin(), n.end());
  expect_clean(references);
  EXPECT_EQ(store_->stats().chunks, before.chunks);
  open();
  expect_clean(references);
}

TEST_F(DamageTest, APackThatVanishesWhileOpenIsNoticed) {
  const auto a = random_bytes(1, 3000);
  const auto n = put_one(a);
  std::filesystem::remove(pack_paths().at(0));
  expect_eio(n, 3000);
  EXPECT_EQ(put_one(a), n);
  expect_content(n, a);
  expect_clean({n, n});
}

TEST_F(DamageTest, ACutOffPackIsHealedAndNotAppendedTo) {
  std::vector<std::string> contents;
  for (int i = 0; i < 10; ++i) contents.push_back(random_bytes(i, 3000));
  const auto n = put(contents);
  const auto path = pack_paths().at(0);
  std::filesystem::resize_file(path, 10000);
  open();
  expect_content(n[0], contents[0]);
  expect_eio(n[9], 3000);
  EXPECT_EQ(put(contents), n);
  for (std::size_t i = 0; i < n.size(); ++i) expect_content(n[i], contents[i]);
  EXPECT_EQ(std::filesystem::file_size(path), 10000u);
  auto references = n;
  references.insert(references.end(), n.begin(), n.end());
  expect_clean(references);
}

TEST_F(DamageTest, CompactionNeitherSpreadsNorForgetsIt) {
  std::vector<std::string> contents;
  for (int i = 0; i < 30; ++i) contents.push_back(random_bytes(i, 3000));
  const auto n = put(contents);
  const auto path = pack_paths().front();
  flip(path, kPackHeader + kBlockHeader + 5);
  std::vector<ChunkNo> dropped, kept{n[0]};
  for (std::size_t i = 1; i < n.size(); ++i) (i % 5 == 0 ? kept : dropped).push_back(n[i]);
  reference(dropped, -1);
  collect_all();
  open();
  compact_all(0.1);
  EXPECT_TRUE(std::filesystem::exists(path));
  expect_eio(n[0], 3000);
  for (std::size_t i = 5; i < n.size(); i += 5) expect_content(n[i], contents[i]);
  EXPECT_EQ(put({contents[0]}), std::vector<ChunkNo>{n[0]});
  compact_all(0.1);
  EXPECT_FALSE(std::filesystem::exists(path));
  kept.push_back(n[0]);
  expect_clean(kept);
  EXPECT_TRUE(db_->scan(Family::kSystem)->status().ok());
}

TEST_F(DamageTest, OneDamagedPieceFailsTheWholeRead) {
  const auto a = random_bytes(1, 3000), b = random_bytes(2, 3000);
  const auto n = put({a, b});
  flip(pack_paths().at(0), kPackHeader + kBlockHeader + 5);
  open();
  std::string x(3000, '\0'), y(3000, '\0');
  const std::vector<ChunkStore::Piece> pieces = {
      {n[1], 0, {reinterpret_cast<std::uint8_t*>(y.data()), y.size()}},
      {n[0], 0, {reinterpret_cast<std::uint8_t*>(x.data()), x.size()}}};
  EXPECT_EQ(store_->read_many(pieces).error().code, EIO);
}

}  // namespace
}  // namespace projfs::chunks
