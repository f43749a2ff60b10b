// SPDX-License-Identifier: MIT
#include "meta/inode_record.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace projfs::meta {
namespace {

InodeRecord sample(std::uint32_t type) {
  InodeRecord r;
  r.mode = type | 04755;
  r.nlink = 3;
  r.uid = 4'000'000'000u;
  r.gid = 7;
  r.flags = InodeRecord::kHasXattrs | InodeRecord::kCapability;
  r.btime = {1'700'000'000, 123'456'789};
  r.atime = {-5, 1};                        // before 1970
  r.mtime = {20'000'000'000, 999'999'999};  // after 2262, which nanoseconds in 64 bits cannot say
  r.ctime = {1'700'000'001, 0};
  r.attr_floor = 5ull << 40;
  r.parent = 42;
  r.name_hash = 0x123456789abcdef;
  switch (type) {
    case S_IFREG:
      r.size = 16ull << 40;
      r.allocated = 12 * kBlock;
      r.data_floor = (7ull << 40) + 9;
      break;
    case S_IFDIR:
      r.entries = 1'000'000;
      break;
    case S_IFLNK:
      r.target = std::string(4095, 'x');
      r.size = 4095;
      break;
    default:
      r.rdev = 0x12345678;
  }
  return r;
}

TEST(InodeRecordTest, EveryTypeSurvivesEncoding) {
  for (const auto type : {S_IFREG, S_IFDIR, S_IFLNK, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK}) {
    const auto r = sample(static_cast<std::uint32_t>(type));
    const auto decoded = InodeRecord::decode(r.encode());
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(*decoded == r) << std::oct << type;
  }
}

TEST(InodeRecordTest, ACutRecordDoesNotDecode) {
  const auto data = sample(S_IFREG).encode();
  for (std::size_t n = 0; n < data.size(); ++n)
    EXPECT_FALSE(InodeRecord::decode(std::string_view(data).substr(0, n)));
  EXPECT_FALSE(InodeRecord::decode(data + '\0'));
}

TEST(InodeRecordTest, AnOrdinaryFileIsSmall) {
  InodeRecord r;
  r.mode = S_IFREG | 0644;
  r.nlink = 1;
  r.uid = r.gid = 1000;
  r.btime = r.atime = r.mtime = r.ctime = {1'700'000'000, 123'456'789};
  r.size = 10'000;
  r.allocated = 3 * kBlock;
  r.data_floor = r.attr_floor = (1ull << 40) + 100'000;
  r.parent = 1'000'000;
  r.name_hash = ~std::uint64_t{0} >> 1;
  EXPECT_LT(r.encode().size(), 64u);
}

}  // namespace
}  // namespace projfs::meta
