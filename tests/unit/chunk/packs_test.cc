// SPDX-License-Identifier: MIT
#include "chunk/packs.h"

#include <gtest/gtest.h>
#include <filesystem>

#include "support/temp_dir.h"

namespace projfs::chunks {
namespace {

class PacksTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  Packs packs_{Env::posix(), dir_.path(), 1000};
  std::vector<PackHold> holds_;

  Packs::Slot reserve(std::uint64_t bytes) {
    auto slot = packs_.reserve(bytes, holds_);
    EXPECT_TRUE(slot) << slot.error().describe();
    const std::string data(bytes, 'x');
    EXPECT_TRUE(slot->file->write(slot->offset, as_bytes(data)));
    return *slot;
  }
};

TEST_F(PacksTest, HeaderIsTheDocumentedOne) {
  const auto h = pack_header(0x0102);
  ASSERT_EQ(h.size(), kPackHeader);
  EXPECT_EQ(h.substr(0, 24), std::string("PROJPACK\1\0\0\0\0\0\0\0\2\1\0\0\0\0\0\0", 24));
  EXPECT_TRUE(check_pack_header(0x0102, as_bytes(h)));
  EXPECT_EQ(check_pack_header(0x0103, as_bytes(h)).error().code, EIO);
  for (std::size_t i = 0; i < h.size(); ++i) {
    auto bad = h;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(check_pack_header(0x0102, as_bytes(bad))) << i;
    EXPECT_FALSE(check_pack_header(0x0102, as_bytes(h).first(i))) << i;
  }
  auto newer = h;
  newer[8] = 2;
  EXPECT_EQ(check_pack_header(0x0102, as_bytes(newer)).error().code, ENOTSUP);
}

TEST_F(PacksTest, FillsOnePackAndThenTheNext) {
  EXPECT_EQ(reserve(400).offset, kPackHeader);
  EXPECT_EQ(reserve(400).offset, kPackHeader + 400);
  const auto third = reserve(400);
  EXPECT_EQ(third.offset, kPackHeader);
  EXPECT_EQ(third.pack->number, 2u);
  EXPECT_EQ(packs_.count(), 2u);
  EXPECT_EQ(packs_.total_bytes(), 1200 + 2 * kPackHeader);
  // One larger than a pack gets a pack of its own.
  EXPECT_EQ(reserve(5000).pack->number, 3u);
  EXPECT_EQ(reserve(10).pack->number, 4u);
}

TEST_F(PacksTest, FindsItsOwnFilesOnly) {
  reserve(10);
  for (const auto* name : {"1.pack", "abc.pack", "00000003.pack.tmp", "00000000.pack"}) {
    ASSERT_TRUE(Env::posix().open(dir_.path() + "/" + name, Env::Open::kCreateNew));
  }
  EXPECT_EQ(packs_.found().value(), std::vector<std::uint64_t>{1});
}

TEST_F(PacksTest, AHeldPackIsNotRetired) {
  reserve(10);
  EXPECT_FALSE(packs_.retire(1));
  holds_.clear();
  EXPECT_TRUE(packs_.retire(1));
  EXPECT_EQ(packs_.active(), 0u);
  EXPECT_EQ(reserve(10).pack->number, 2u);
  EXPECT_FALSE(packs_.retire(77));
}

TEST_F(PacksTest, AnOpenFileOutlivesItsPack) {
  reserve(10);
  const auto file = packs_.file(1).value();
  holds_.clear();
  ASSERT_TRUE(packs_.retire(1));
  ASSERT_TRUE(packs_.remove(1));
  EXPECT_EQ(packs_.file(1).error().code, ENOENT);
  EXPECT_EQ(packs_.total_bytes(), 0u);
  std::array<std::uint8_t, 10> out;
  EXPECT_EQ(file->read(kPackHeader, out).value(), 10u);
  EXPECT_EQ(out[9], 'x');
}

TEST_F(PacksTest, AFailedWriteGivesItsRoomBack) {
  reserve(100);
  auto slot = packs_.reserve(50, holds_).value();
  packs_.abandon(slot, 50);
  EXPECT_EQ(packs_.total_bytes(), kPackHeader + 100);
  EXPECT_EQ(reserve(10).offset, kPackHeader + 100);
  // Not when somebody else reserved behind it.
  slot = packs_.reserve(50, holds_).value();
  reserve(10);
  packs_.abandon(slot, 50);
  EXPECT_EQ(packs_.total_bytes(), kPackHeader + 170);
}

TEST_F(PacksTest, KeepsFewFilesOpen) {
  for (int i = 0; i < 200; ++i) reserve(900);
  const auto open_files = [] {
    const std::filesystem::directory_iterator fds("/proc/self/fd");
    return std::distance(begin(fds), end(fds));
  };
  holds_.clear();
  const auto before = open_files();
  for (std::uint64_t n = 1; n <= 200; ++n) ASSERT_TRUE(packs_.file(n));
  EXPECT_LE(open_files(), before + 64);
}

TEST_F(PacksTest, ResumesOnlyASoundPackWithRoom) {
  reserve(100);
  holds_.clear();
  Packs again(Env::posix(), dir_.path(), 1000);
  again.adopt(1, kPackHeader + 100);
  ASSERT_TRUE(again.resume(1));
  EXPECT_EQ(again.active(), 1u);
  Packs full(Env::posix(), dir_.path(), 100);
  full.adopt(1, kPackHeader + 100);
  ASSERT_TRUE(full.resume(1));
  EXPECT_EQ(full.active(), 0u);
  const auto file =
      Env::posix().open(dir_.path() + "/00000001.pack", Env::Open::kReadWrite).value();
  ASSERT_TRUE(file->write(20, as_bytes("damage")));
  Packs damaged(Env::posix(), dir_.path(), 1000);
  damaged.adopt(1, kPackHeader + 100);
  EXPECT_FALSE(damaged.resume(1));
  EXPECT_EQ(damaged.active(), 0u);
}

}  // namespace
}  // namespace projfs::chunks
