// SPDX-License-Identifier: MIT
//
// File content: sparse files, allocation, holes, copying by range, unlinked and unnamed files.
#include <linux/falloc.h>
#include <sys/statvfs.h>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Data : public Sandbox {};

TEST_F(Data, ReadsWhatWasWritten) {
  const Fd fd = open_file("f");
  std::string expected;
  for (unsigned i = 0; i < 400; ++i) {
    const std::string piece = pattern(1 + (i * 7919) % 20000, i);
    const std::size_t at = (i * 104729ULL) % 700000;
    ASSERT_EQ(static_cast<ssize_t>(piece.size()), ::pwrite(fd, piece.data(), piece.size(), at));
    if (expected.size() < at + piece.size()) expected.resize(at + piece.size());
    expected.replace(at, piece.size(), piece);
    if (i % 50 == 0) {
      ASSERT_EQ(expected, read_file("f")) << i;
    }
  }
  ASSERT_EQ(expected, read_file("f"));
  ASSERT_EQ(0, ::ftruncate(fd, 123457));
  ASSERT_EQ(0, ::ftruncate(fd, 400001));
  expected.resize(123457);
  expected.resize(400001);
  EXPECT_EQ(expected, read_file("f")) << "what truncation cut off reads as zeros";
}

TEST_F(Data, AtTheEndOfTheFile) {
  const Fd fd = open_file("f");
  char buffer[10];
  EXPECT_EQ(0, ::read(fd, buffer, 10));
  ASSERT_EQ(3, ::write(fd, "abc", 3));
  EXPECT_EQ(0, ::pread(fd, buffer, 10, 3));
  EXPECT_EQ(0, ::pread(fd, buffer, 10, 1000));
  EXPECT_EQ(2, ::pread(fd, buffer, 10, 1));
  EXPECT_EQ(EINVAL, error_of(::pread(fd, buffer, 10, -1)));
  EXPECT_EQ(0, ::pwrite(fd, buffer, 0, 100000));
  EXPECT_EQ(3, stat_of("f").st_size) << "a write of nothing extends nothing";
  const Fd reader = open_file("f", O_RDONLY);
  EXPECT_EQ(EBADF, error_of(::write(reader, "x", 1)));
  EXPECT_EQ(EBADF, error_of(::ftruncate(reader, 0)) == EINVAL ? EBADF : errno);
  const Fd dir = open_file(".", O_RDONLY);
  EXPECT_EQ(EISDIR, error_of(::read(dir, buffer, 10)));
}

TEST_F(Data, SparseUpToSixteenTebibytes) {
  const Fd fd = open_file("f");
  constexpr off_t kNearEnd = (16LL << 40) - 8192;
  ASSERT_EQ(5, ::pwrite(fd, "first", 5, 0));
  ASSERT_EQ(4, ::pwrite(fd, "last", 4, kNearEnd)) << errno;
  EXPECT_EQ(kNearEnd + 4, stat_of("f").st_size);
  EXPECT_LT(stat_of("f").st_blocks, 1024);
  EXPECT_EQ("last", read_range(fd, kNearEnd, 100));
  EXPECT_EQ(std::string(8192, '\0'), read_range(fd, 8LL << 40, 8192));
  EXPECT_EQ(kNearEnd, ::lseek(fd, 8192, SEEK_DATA) & ~4095LL);
  EXPECT_EQ(EFBIG, error_of(::ftruncate(fd, (16LL << 40) + 4096)));
  ASSERT_EQ(0, ::ftruncate(fd, 3));
  EXPECT_EQ("fir", read_file("f"));
  ASSERT_EQ(0, ::ftruncate(fd, kNearEnd));
  EXPECT_LT(stat_of("f").st_blocks, 1024);
}

TEST_F(Data, HolesTakeNoSpaceAndAreFound) {
  const Fd fd = open_file("f");
  const std::string block = pattern(65536, 3);
  ASSERT_EQ(65536, ::pwrite(fd, block.data(), block.size(), 1 << 20));
  ASSERT_EQ(0, ::ftruncate(fd, 4 << 20));
  ASSERT_EQ(0, ::fsync(fd));
  EXPECT_EQ(128, stat_of("f").st_blocks);
  EXPECT_EQ(1 << 20, ::lseek(fd, 0, SEEK_DATA));
  EXPECT_EQ((1 << 20) + 65536, ::lseek(fd, 1 << 20, SEEK_HOLE));
  EXPECT_EQ(0, ::lseek(fd, 0, SEEK_HOLE));
  EXPECT_EQ((1 << 20) + 5, ::lseek(fd, (1 << 20) + 5, SEEK_DATA));
  EXPECT_EQ(ENXIO, error_of(::lseek(fd, 2 << 20, SEEK_DATA)));
  EXPECT_EQ(3 << 20, ::lseek(fd, 3 << 20, SEEK_HOLE));
  EXPECT_EQ(ENXIO, error_of(::lseek(fd, 4 << 20, SEEK_HOLE)));
  EXPECT_EQ(ENXIO, error_of(::lseek(fd, 5 << 20, SEEK_DATA)));
  const Fd full = open_file("g");
  ASSERT_EQ(65536, ::write(full, block.data(), block.size()));
  EXPECT_EQ(65536, ::lseek(full, 0, SEEK_HOLE)) << "the end counts as a hole";
}

TEST_F(Data, FallocateModes) {
  const Fd fd = open_file("f");
  ASSERT_EQ(0, ::fallocate(fd, 0, 0, 1 << 20));
  EXPECT_EQ(1 << 20, stat_of("f").st_size);
  EXPECT_EQ(2048, stat_of("f").st_blocks);
  EXPECT_EQ(std::string(1 << 20, '\0'), read_file("f"));
  ASSERT_EQ(0, ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20));
  EXPECT_EQ(1 << 20, stat_of("f").st_size);
  EXPECT_EQ(4096, stat_of("f").st_blocks);
  std::string expected = pattern(1 << 20, 9);
  ASSERT_EQ(1 << 20, ::pwrite(fd, expected.data(), expected.size(), 0));
  EXPECT_EQ(4096, stat_of("f").st_blocks) << "allocated already";
  ASSERT_EQ(0, ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 100000));
  expected.replace(1000, 100000, std::string(100000, '\0'));
  EXPECT_EQ(expected, read_file("f"));
  // [1000, 101000) holds 23 whole blocks.
  EXPECT_EQ(4096 - 23 * 8, stat_of("f").st_blocks);
  ASSERT_EQ(0, ::fallocate(fd, FALLOC_FL_ZERO_RANGE, 200001, 5000));
  expected.replace(200001, 5000, std::string(5000, '\0'));
  EXPECT_EQ(expected, read_file("f"));
  ASSERT_EQ(0, ::fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1048000, 5000));
  EXPECT_EQ(1 << 20, stat_of("f").st_size);
  expected.replace(1048000, 576, std::string(576, '\0'));
  EXPECT_EQ(expected, read_file("f"));
  ASSERT_EQ(0, ::fallocate(fd, FALLOC_FL_ZERO_RANGE, 1048000, 5000));
  EXPECT_EQ(1053000, stat_of("f").st_size);
  EXPECT_EQ(EINVAL, error_of(::fallocate(fd, 0, 0, 0)));
  EXPECT_EQ(EINVAL, error_of(::fallocate(fd, 0, -1, 5)));
  EXPECT_EQ(EOPNOTSUPP, error_of(::fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096)));
  const Fd reader = open_file("f", O_RDONLY);
  EXPECT_EQ(EBADF, error_of(::fallocate(reader, 0, 0, 4096)));
  ASSERT_EQ(0, ::ftruncate(fd, 0));
  EXPECT_EQ(0, stat_of("f").st_blocks);
}

TEST_F(Data, CopyFileRange) {
  const std::string content = pattern(1 << 20, 17);
  write_file("a", content);
  const Fd from = open_file("a", O_RDONLY);
  const Fd to = open_file("b");
  off64_t in = 12345, out = 54321;
  std::size_t copied = 0;
  while (copied < 500000) {
    const ssize_t n = ::copy_file_range(from, &in, to, &out, 500000 - copied, 0);
    ASSERT_GT(n, 0) << errno;
    copied += n;
  }
  EXPECT_EQ(512345, in);
  std::string expected = std::string(54321, '\0') + content.substr(12345, 500000);
  EXPECT_EQ(expected, read_file("b"));
  in = (1 << 20) - 10;
  out = 0;
  EXPECT_EQ(10, ::copy_file_range(from, &in, to, &out, 4096, 0)) << "short at the end";
  expected.replace(0, 10, content.substr(content.size() - 10));
  in = 2 << 20;
  EXPECT_EQ(0, ::copy_file_range(from, &in, to, &out, 4096, 0));
  EXPECT_EQ(expected, read_file("b"));
  // What is copied is a copy: writing to either leaves the other.
  ASSERT_EQ(1, ::pwrite(to, "!", 1, 100000));
  EXPECT_EQ(content, read_file("a"));
  const Fd same = open_file("a", O_RDWR);
  in = 0;
  out = 600000;
  EXPECT_EQ(4096, ::copy_file_range(same, &in, same, &out, 4096, 0));
  EXPECT_EQ(content.substr(0, 4096), read_range(same, 600000, 4096));
  in = 0;
  out = 100;
  EXPECT_EQ(EINVAL, error_of(::copy_file_range(same, &in, same, &out, 4096, 0))) << "overlap";
}

TEST_F(Data, UnlinkedFilesLiveWhileOpen) {
  write_file("f", "before");
  const Fd fd = open_file("f", O_RDWR);
  const Fd second = open_file("f", O_RDONLY);
  ASSERT_EQ(0, ::unlink("f"));
  write_file("f", "another");
  struct stat st {};
  ASSERT_EQ(0, ::fstat(fd, &st));
  EXPECT_EQ(0U, st.st_nlink);
  const std::string more = pattern(300000, 4);
  ASSERT_EQ(300000, ::pwrite(fd, more.data(), more.size(), 6));
  EXPECT_EQ("before" + more, read_range(second, 0, 400000));
  ASSERT_EQ(0, ::ftruncate(fd, 10));
  ASSERT_EQ(0, ::fchmod(fd, 0123));
  ASSERT_EQ(0, ::fstat(second, &st));
  EXPECT_EQ(10, st.st_size);
  EXPECT_EQ(0123U, st.st_mode & 07777);
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  EXPECT_EQ(ENOENT, error_of(::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, "back", AT_SYMLINK_FOLLOW)))
      << "what lost its last name gets none again";
  EXPECT_EQ("another", read_file("f"));
}

TEST_F(Data, UnnamedFilesCanGetAName) {
  const Fd fd(::open(".", O_TMPFILE | O_RDWR, 0640));
  ASSERT_GE(fd, 0) << errno;
  struct stat st {};
  ASSERT_EQ(0, ::fstat(fd, &st));
  EXPECT_EQ(0U, st.st_nlink);
  EXPECT_EQ(0640U, st.st_mode & 07777);
  EXPECT_TRUE(names_in(".").empty());
  ASSERT_EQ(7, ::write(fd, "content", 7));
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  ASSERT_EQ(0, ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, "named", AT_SYMLINK_FOLLOW)) << errno;
  EXPECT_EQ("content", read_file("named"));
  EXPECT_EQ(1U, stat_of("named").st_nlink);
  const Fd exclusive(::open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
  ASSERT_GE(exclusive, 0) << errno;
  const std::string never = "/proc/self/fd/" + std::to_string(exclusive);
  EXPECT_EQ(ENOENT, error_of(::linkat(AT_FDCWD, never.c_str(), AT_FDCWD, "no", AT_SYMLINK_FOLLOW)));
}

TEST_F(Data, SpaceIsGivenBack) {
  struct statvfs before {
  }, used{}, after{};
  ASSERT_EQ(0, ::statvfs(".", &before));
  {
    const Fd fd = open_file("f");
    const std::string block = pattern(1 << 20, 1);
    for (int i = 0; i < 64; ++i) ASSERT_EQ(1 << 20, ::write(fd, block.data(), block.size()));
    ASSERT_EQ(0, ::fsync(fd));
    EXPECT_EQ(64 << 11, stat_of("f").st_blocks);
  }
  ASSERT_EQ(0, ::statvfs(".", &used));
  ASSERT_EQ(0, ::unlink("f"));
  ASSERT_EQ(0, ::statvfs(".", &after));
  EXPECT_EQ(NAME_MAX, static_cast<int>(before.f_namemax));
  EXPECT_GE(before.f_blocks, before.f_bfree);
  EXPECT_GE(before.f_files, before.f_ffree);
}

}  // namespace
}  // namespace projfs::posix
