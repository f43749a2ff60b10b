// SPDX-License-Identifier: MIT
//
// Which call moves which time stamp, and what can be stored in one.
#include <sys/mman.h>
#include <sys/xattr.h>
#include <climits>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Times : public Sandbox {
 protected:
  // Runs `change` and says which of mtime ("m") and ctime ("c") of `path` moved.
  static std::string moved(const std::string& path, const std::function<int()>& change) {
    const auto before = lstat_of(path);
    let_clock_move();
    EXPECT_EQ(0, error_of(change()));
    const auto after = lstat_of(path);
    std::string out;
    if (ns(after.st_mtim) > ns(before.st_mtim)) out += 'm';
    if (ns(after.st_ctim) > ns(before.st_ctim)) out += 'c';
    EXPECT_GE(ns(after.st_ctim), ns(before.st_ctim));
    return out;
  }
};

TEST_F(Times, OfFiles) {
  write_file("f", "hello");
  const Fd fd = open_file("f", O_RDWR);
  EXPECT_EQ("mc", moved("f", [&] { return ::pwrite(fd, "x", 1, 0) == 1 ? 0 : -1; }));
  EXPECT_EQ("mc", moved("f", [&] { return ::ftruncate(fd, 2); }));
  EXPECT_EQ("mc", moved("f", [&] { return ::ftruncate(fd, 2); })) << "ftruncate to the same size";
  EXPECT_EQ("mc", moved("f", [&] { return ::truncate("f", 9000); }));
  EXPECT_EQ("c", moved("f", [&] { return ::fchmod(fd, 0600); }));
  EXPECT_EQ("c", moved("f", [&] { return ::fchown(fd, 5, 5); }));
  EXPECT_EQ("c", moved("f", [&] { return ::link("f", "g"); }));
  EXPECT_EQ("c", moved("f", [&] { return ::unlink("g"); }));
  EXPECT_EQ("c", moved("f", [&] { return ::setxattr("f", "user.a", "b", 1, 0); }));
  EXPECT_EQ("c", moved("f", [&] { return ::removexattr("f", "user.a"); }));
  EXPECT_EQ("", moved("f", [&] { return read_file("f").size() == 9000 ? 0 : -1; }));
  EXPECT_EQ("", moved("f", [&] { return ::fsync(fd); }));
  EXPECT_EQ("", moved("f", [&] { return ::close(::open("f", O_WRONLY)); }));
  EXPECT_EQ("", moved("f", [&] { return ::write(fd, "", 0) == 0 ? 0 : -1; }));
  EXPECT_EQ("mc", moved("f", [&] { return ::close(::open("f", O_WRONLY | O_TRUNC)); }));
  EXPECT_EQ("mc", moved("f", [&] { return ::fallocate(fd, 0, 0, 100000); }));
  EXPECT_EQ("mc", moved("f", [&] {
              return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
            }));
  const timespec past[2] = {{1000, 0}, {1000, 0}};
  const auto before = stat_of("f");
  let_clock_move();
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, "f", past, 0));
  EXPECT_GT(ns(stat_of("f").st_ctim), ns(before.st_ctim));
}

TEST_F(Times, OfDirectories) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  EXPECT_EQ("mc", moved("d", [] { return ::close(::open("d/f", O_CREAT | O_WRONLY, 0644)); }));
  EXPECT_EQ("mc", moved("d", [] { return ::mkdir("d/e", 0755); }));
  EXPECT_EQ("mc", moved("d", [] { return ::symlink("x", "d/s"); }));
  EXPECT_EQ("mc", moved("d", [] { return ::link("d/f", "d/l"); }));
  EXPECT_EQ("mc", moved("d", [] { return ::mkfifo("d/p", 0644); }));
  EXPECT_EQ("mc", moved("d", [] { return ::rename("d/f", "d/g"); }));
  EXPECT_EQ("mc", moved("d", [] { return ::unlink("d/g"); }));
  EXPECT_EQ("mc", moved("d", [] { return ::rmdir("d/e"); }));
  EXPECT_EQ("c", moved("d", [] { return ::chmod("d", 0700); }));
  EXPECT_EQ("", moved("d", [] { return ::chmod("d/p", 0600); }));
  EXPECT_EQ("", moved("d", [] { return names_in("d").size() == 3 ? 0 : -1; }));
}

TEST_F(Times, NewFilesHaveAllThreeAlike) {
  write_file("f", "");
  const auto st = stat_of("f");
  EXPECT_EQ(ns(st.st_mtim), ns(st.st_ctim));
  timespec now{};
  ASSERT_EQ(0, ::clock_gettime(CLOCK_REALTIME, &now));
  EXPECT_LT(std::abs(ns(now) - ns(st.st_mtim)), 60'000'000'000LL);
}

TEST_F(Times, NanosecondsAreKept) {
  write_file("f", "");
  const timespec times[2] = {{1234567890, 123456789}, {987654321, 987654321}};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, "f", times, 0));
  auto st = stat_of("f");
  EXPECT_EQ(ns(times[0]), ns(st.st_atim));
  EXPECT_EQ(ns(times[1]), ns(st.st_mtim));
  const timespec omit[2] = {{0, UTIME_OMIT}, {5, 6}};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, "f", omit, 0));
  st = stat_of("f");
  EXPECT_EQ(ns(times[0]), ns(st.st_atim));
  EXPECT_EQ(ns(omit[1]), ns(st.st_mtim));
  const timespec now_first[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, "f", now_first, 0));
  st = stat_of("f");
  EXPECT_GT(ns(st.st_atim), ns(times[0]));
  EXPECT_EQ(ns(omit[1]), ns(st.st_mtim));
  const timespec invalid[2] = {{0, 1'000'000'000}, {0, 0}};
  EXPECT_EQ(EINVAL, error_of(::utimensat(AT_FDCWD, "f", invalid, 0)));
  ASSERT_EQ(0, ::symlink("f", "l"));
  const timespec link_times[2] = {{11, 12}, {13, 14}};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, "l", link_times, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(ns(link_times[1]), ns(lstat_of("l").st_mtim));
  EXPECT_EQ(ns(omit[1]), ns(stat_of("f").st_mtim));
}

TEST_F(Times, BeyondThe32BitYears) {
  write_file("f", "");
  for (const time_t t : {time_t{-1}, time_t{-2147483647LL}, time_t{0}, time_t{2147483648LL},
                         time_t{4294967296LL}, time_t{9000000000LL}}) {
    const timespec times[2] = {{t, 1}, {t, 2}};
    ASSERT_EQ(0, ::utimensat(AT_FDCWD, "f", times, 0)) << t;
    EXPECT_EQ(t, stat_of("f").st_mtim.tv_sec);
    EXPECT_EQ(2, stat_of("f").st_mtim.tv_nsec);
    EXPECT_EQ(t, stat_of("f").st_atim.tv_sec);
  }
}

TEST_F(Times, MappedWritesAreSeen) {
  write_file("f", std::string(8192, 'a'));
  const Fd fd = open_file("f", O_RDWR);
  void* map = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(MAP_FAILED, map);
  EXPECT_EQ("mc", moved("f", [&] {
              static_cast<char*>(map)[5000] = 'b';
              return ::msync(map, 8192, MS_SYNC);
            }));
  ASSERT_EQ(0, ::munmap(map, 8192));
}

TEST_F(Times, BirthIsKept) {
  write_file("f", "");
  struct statx before {
  }, after{};
  ASSERT_EQ(0, ::statx(AT_FDCWD, "f", 0, STATX_BTIME | STATX_BASIC_STATS, &before));
  if (!(before.stx_mask & STATX_BTIME)) GTEST_SKIP() << "no birth time here";
  let_clock_move();
  write_file("f", "changed");
  ASSERT_EQ(0, ::rename("f", "g"));
  ASSERT_EQ(0, ::statx(AT_FDCWD, "g", 0, STATX_BTIME | STATX_BASIC_STATS, &after));
  EXPECT_EQ(before.stx_btime.tv_sec, after.stx_btime.tv_sec);
  EXPECT_EQ(before.stx_btime.tv_nsec, after.stx_btime.tv_nsec);
}

}  // namespace
}  // namespace projfs::posix
