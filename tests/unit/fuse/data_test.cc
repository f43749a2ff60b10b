// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

class DataTest : public EdgeTest {
 protected:
  FakeKernel::Answer write(Ino ino, std::uint64_t offset, std::string_view data,
                           std::uint32_t flags = 0) {
    fuse_write_in in{};
    in.offset = offset;
    in.size = static_cast<std::uint32_t>(data.size());
    in.write_flags = flags;
    return kernel.call(FUSE_WRITE, ino, packed(in) + std::string(data), {1000, 1000});
  }
  FakeKernel::Answer read(Ino ino, std::uint64_t offset, std::uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return kernel.call(FUSE_READ, ino, packed(in));
  }
};

TEST_F(DataTest, WriteAndRead) {
  const Ino ino = make("a");
  const auto written = write(ino, 3, "hello");
  ASSERT_EQ(written.error, 0);
  EXPECT_EQ(written.as<fuse_write_out>().size, 5u);
  EXPECT_EQ(read(ino, 0, 4096).body, std::string("\0\0\0hello", 8));
  EXPECT_EQ(read(ino, 5, 2).body, "ll");
  EXPECT_EQ(read(ino, 100, 4096).body, "");
  EXPECT_EQ(read(999, 0, 10).error, ESTALE);
}

TEST_F(DataTest, TheLongestWriteAndRead) {
  const Ino ino = make("a");
  std::string data(kMaxTransfer, 'x');
  data.back() = 'y';
  ASSERT_EQ(write(ino, 0, data).as<fuse_write_out>().size, data.size());
  EXPECT_EQ(read(ino, 0, kMaxTransfer).body, data);
}

TEST_F(DataTest, AReadLongerThanAllowedIsCutNotOverrun) {
  const Ino ino = make("a");
  ASSERT_TRUE(volume->fallocate(ino, 0, 0, 4 << 20));
  EXPECT_EQ(read(ino, 0, 0xffffffff).body.size(), kMaxTransfer);
}

TEST_F(DataTest, WriteErrorsReachTheWriter) {
  const Ino ino = make("a");
  volume->set_hook([](std::string_view operation, Ino) -> Status {
    if (operation == "write") return fail(EDQUOT);
    return {};
  });
  EXPECT_EQ(write(ino, 0, "x").error, EDQUOT);
}

TEST_F(DataTest, WritesDropSetIdWhenTheKernelSaysAndTellItSo) {
  const Ino ino = make("a", S_IFREG | 06755);
  write(ino, 0, "x");
  EXPECT_EQ(volume->getattr(ino)->mode, S_IFREG | 06755u);
  EXPECT_TRUE(kernel.notifications().empty());
  write(ino, 0, "x", FUSE_WRITE_KILL_SUIDGID);
  EXPECT_EQ(volume->getattr(ino)->mode, S_IFREG | 0755u);
  const auto told = kernel.notifications();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].code, FUSE_NOTIFY_INVAL_INODE);
  const auto what = reinterpret_cast<const fuse_notify_inval_inode_out*>(told[0].body.data());
  EXPECT_EQ(what->ino, ino);
  EXPECT_EQ(what->off, -1);  // attributes only: pages must not be touched inside a request
  write(ino, 0, "x", FUSE_WRITE_KILL_SUIDGID);
  EXPECT_TRUE(kernel.notifications().empty());
}

TEST_F(DataTest, FallocateAndItsSetId) {
  const Ino ino = make("a", S_IFREG | 04755);
  fuse_fallocate_in in{};
  in.length = 8192;
  EXPECT_EQ(kernel.call(FUSE_FALLOCATE, ino, packed(in)).error, 0);
  EXPECT_EQ(volume->getattr(ino)->size, 8192u);
  EXPECT_EQ(volume->getattr(ino)->mode & 07000, 04000u);
  in.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  EXPECT_EQ(kernel.call(FUSE_FALLOCATE, ino, packed(in), {1000, 1000}).error, 0);
  EXPECT_EQ(volume->getattr(ino)->allocated, 0u);
  EXPECT_EQ(volume->getattr(ino)->mode & 07000, 0u);
  EXPECT_EQ(kernel.notifications().size(), 1u);
  in.mode = FALLOC_FL_COLLAPSE_RANGE;
  EXPECT_EQ(kernel.call(FUSE_FALLOCATE, ino, packed(in)).error, EOPNOTSUPP);
}

TEST_F(DataTest, SeekDataAndHole) {
  const Ino ino = make("a");
  write(ino, 8192, "x");
  fuse_lseek_in in{};
  in.whence = SEEK_DATA;
  EXPECT_EQ(kernel.call(FUSE_LSEEK, ino, packed(in)).as<fuse_lseek_out>().offset, 8192u);
  in.whence = SEEK_HOLE;
  EXPECT_EQ(kernel.call(FUSE_LSEEK, ino, packed(in)).as<fuse_lseek_out>().offset, 0u);
  in.offset = 9000;
  EXPECT_EQ(kernel.call(FUSE_LSEEK, ino, packed(in)).error, ENXIO);
}

TEST_F(DataTest, CopyRangeInBothWidths) {
  const Ino from = make("a"), to = make("b", S_IFREG | 04755);
  write(from, 0, "0123456789");
  fuse_copy_file_range_in in{};
  in.off_in = 2;
  in.nodeid_out = to;
  in.off_out = 1;
  in.len = 4;
  const auto narrow = kernel.call(FUSE_COPY_FILE_RANGE, from, packed(in));
  EXPECT_EQ(narrow.as<fuse_write_out>().size, 4u);
  in.len = 1ull << 40;
  const auto wide = kernel.call(kOpCopyFileRange64, from, packed(in), {1000, 1000});
  EXPECT_EQ(wide.as<CopyFileRangeOut64>().bytes_copied, 8u);
  EXPECT_EQ(read(to, 0, 100).body, std::string("\0", 1) + "23456789");
  EXPECT_EQ(volume->getattr(to)->mode & 07000, 0u);
}

TEST_F(DataTest, SyncsReachTheVolume) {
  const Ino ino = make("a"), dir = make("d", S_IFDIR | 0755);
  std::string seen;
  volume->set_hook([&](std::string_view operation, Ino at) -> Status {
    if (operation == "fsync" || operation == "syncfs")
      seen += std::string(operation) + std::to_string(at) + " ";
    return {};
  });
  EXPECT_EQ(kernel.call(FUSE_FSYNC, ino, packed(fuse_fsync_in{})).error, 0);
  EXPECT_EQ(kernel.call(FUSE_FSYNCDIR, dir, packed(fuse_fsync_in{})).error, 0);
  EXPECT_EQ(kernel.call(FUSE_SYNCFS, 1, std::string(8, '\0')).error, 0);
  EXPECT_EQ(seen, "fsync" + std::to_string(ino) + " fsync" + std::to_string(dir) + " syncfs1 ");
}

// ENOSYS makes the kernel stop asking for good.
TEST_F(DataTest, OpenFlushAndOpendirAreTurnedOff) {
  const Ino ino = make("a");
  EXPECT_EQ(kernel.call(FUSE_OPEN, ino, packed(fuse_open_in{})).error, ENOSYS);
  EXPECT_EQ(kernel.call(FUSE_OPENDIR, 1, packed(fuse_open_in{})).error, ENOSYS);
  EXPECT_EQ(kernel.call(FUSE_FLUSH, ino, packed(fuse_flush_in{})).error, ENOSYS);
  EXPECT_EQ(kernel.call(FUSE_RELEASE, ino, packed(fuse_release_in{})).error, 0);
  EXPECT_EQ(kernel.call(FUSE_RELEASEDIR, 1, packed(fuse_release_in{})).error, 0);
}

TEST_F(DataTest, NoIoctls) {
  EXPECT_EQ(kernel.call(FUSE_IOCTL, make("a"), packed(fuse_ioctl_in{})).error, ENOTTY);
}

}  // namespace
}  // namespace projfs::fuse
