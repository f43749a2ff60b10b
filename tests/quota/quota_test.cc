// SPDX-License-Identifier: MIT
//
// Quota at the edge, from 64 threads: run on a mount whose quota is small and whose project is
// empty. Space and inodes are told by statfs, where a project shows its quota.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace projfs {
namespace {

constexpr unsigned kThreads = 64;
constexpr std::uint64_t kBlock = 4096;
std::string root;

std::string path(const std::string& name) { return root + "/" + name; }

std::uint64_t free_bytes() {
  struct statvfs v {};
  EXPECT_EQ(0, ::statvfs(root.c_str(), &v));
  return v.f_bavail * v.f_frsize;
}
std::uint64_t free_inodes() {
  struct statvfs v {};
  EXPECT_EQ(0, ::statvfs(root.c_str(), &v));
  return v.f_favail;
}

void everywhere(const std::function<void(unsigned)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back(body, i);
  for (auto& t : threads) t.join();
}

std::uint64_t allocated(const std::string& name) {
  struct stat st {};
  EXPECT_EQ(0, ::stat(path(name).c_str(), &st)) << name;
  return st.st_blocks * 512;
}

// Space of what was unlinked comes back once the kernel let go of it, which it tells in its own
// time.
std::uint64_t free_bytes_once(std::uint64_t expected) {
  std::uint64_t now = free_bytes();
  for (int i = 0; i < 1500 && now != expected; ++i) {
    ::usleep(20'000);
    now = free_bytes();
  }
  return now;
}

class Quota : public ::testing::Test {
 protected:
  void SetUp() override {
    static const std::uint64_t kEmpty = free_bytes();
    ASSERT_EQ(kEmpty, free_bytes_once(kEmpty)) << "an earlier test's space has not come back";
    ASSERT_GT(free_bytes(), 16U << 20) << "the quota should be more";
    ASSERT_LT(free_bytes(), 256U << 20) << "the quota should be less";
  }
  void TearDown() override {
    for (unsigned i = 0; i < kThreads; ++i) ::unlink(path("f" + std::to_string(i)).c_str());
    ::unlink(path("filler").c_str());
  }
  static int file(unsigned i, int flags = O_RDWR | O_CREAT) {
    return ::open(path("f" + std::to_string(i)).c_str(), flags | O_CLOEXEC, 0644);
  }
};

// The sum accepted is never over, and never a whole request under.
TEST_F(Quota, IsExactUnderConcurrentWrites) {
  for (const std::uint64_t request : {kBlock, 3 * kBlock, 32 * kBlock}) {
    const std::uint64_t room = free_bytes();
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<int> other_errors{0};
    everywhere([&](unsigned i) {
      const int fd = file(i);
      const std::string data(request, static_cast<char>('a' + i));
      for (std::uint64_t at = 0;; at += request) {
        const ssize_t n = ::pwrite(fd, data.data(), request, static_cast<off_t>(at));
        if (n < 0) {
          if (errno != EDQUOT) ++other_errors;
          break;
        }
        accepted += n;
        if (static_cast<std::uint64_t>(n) != request) {
          ++other_errors;
          break;
        }
      }
      ::close(fd);
    });
    EXPECT_EQ(0, other_errors);
    EXPECT_LE(accepted, room);
    EXPECT_GT(accepted + request, room);
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < kThreads; ++i) sum += allocated("f" + std::to_string(i));
    EXPECT_EQ(accepted, sum) << "what was refused changed nothing";
    EXPECT_EQ(room - accepted, free_bytes());
    for (unsigned i = 0; i < kThreads; ++i)
      ASSERT_EQ(0, ::unlink(path("f" + std::to_string(i)).c_str()));
    EXPECT_EQ(room, free_bytes_once(room)) << "all of it comes back";
  }
}

TEST_F(Quota, HoldsForEveryWayToAllocate) {
  const std::uint64_t room = free_bytes();
  const int filler = ::open(path("filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(0, ::fallocate(filler, 0, 0, static_cast<off_t>(room - 4 * kBlock)));
  EXPECT_EQ(4 * kBlock, free_bytes());
  const int fd = file(0);
  EXPECT_EQ(-1, ::fallocate(fd, 0, 0, 5 * kBlock));
  EXPECT_EQ(EDQUOT, errno);
  EXPECT_EQ(-1, ::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5 * kBlock));
  EXPECT_EQ(EDQUOT, errno);
  EXPECT_EQ(-1, ::fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 5 * kBlock));
  EXPECT_EQ(EDQUOT, errno);
  EXPECT_EQ(0U, allocated("f0"));
  struct stat st {};
  ASSERT_EQ(0, ::fstat(fd, &st));
  EXPECT_EQ(0, st.st_size);
  off64_t in = 0, out = 0;
  EXPECT_EQ(-1, ::copy_file_range(filler, &in, fd, &out, 5 * kBlock, 0));
  EXPECT_EQ(EDQUOT, errno);
  EXPECT_EQ(0, ::ftruncate(fd, 1LL << 40)) << "holes are free";
  EXPECT_EQ(1, ::pwrite(fd, "x", 1, 1LL << 39));
  EXPECT_EQ(kBlock, allocated("f0"));
  EXPECT_EQ(3 * kBlock, free_bytes());
  // Overwriting allocated space needs none.
  const std::string data(kBlock * 8, 'y');
  EXPECT_EQ(static_cast<ssize_t>(data.size()), ::pwrite(filler, data.data(), data.size(), 0));
  EXPECT_EQ(3 * kBlock, free_bytes());
  EXPECT_EQ(0, ::fallocate(filler, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8 * kBlock));
  EXPECT_EQ(11 * kBlock, free_bytes());
  ::close(fd);
  ::close(filler);
}

TEST_F(Quota, FullProjectsCanBeEmptied) {
  const std::uint64_t room = free_bytes();
  const int filler = ::open(path("filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(0, ::fallocate(filler, 0, 0, static_cast<off_t>(room)));
  EXPECT_EQ(0U, free_bytes());
  const int fd = file(0);
  EXPECT_EQ(-1, ::write(fd, "x", 1));
  EXPECT_EQ(EDQUOT, errno);
  EXPECT_EQ(0, ::fsync(filler));
  EXPECT_EQ(0, ::ftruncate(filler, 5000));
  EXPECT_EQ(room - 2 * kBlock, free_bytes());
  EXPECT_EQ(1, ::write(fd, "x", 1));
  ASSERT_EQ(0, ::fallocate(filler, 0, 0, static_cast<off_t>(room - kBlock)));
  EXPECT_EQ(0, ::rename(path("filler").c_str(), path("f1").c_str()));
  EXPECT_EQ(0, ::unlink(path("f1").c_str()));
  EXPECT_EQ(0U, free_bytes()) << "open files keep their space";
  ::close(filler);
  ::close(fd);
  EXPECT_EQ(room - kBlock, free_bytes_once(room - kBlock));
}

TEST_F(Quota, InodesAreCountedExactly) {
  const std::uint64_t room = free_inodes();
  ASSERT_LT(room, 100'000U) << "the project should have an inode quota";
  ASSERT_EQ(0, ::mkdir(path("many").c_str(), 0755));
  std::atomic<std::uint64_t> made{1};
  std::atomic<int> other_errors{0};
  everywhere([&](unsigned i) {
    for (unsigned k = 0;; ++k) {
      const std::string name = path("many/" + std::to_string(i) + "-" + std::to_string(k));
      int result = 0;
      switch (k % 4) {
        case 0:
          result = ::mknod(name.c_str(), S_IFREG | 0644, 0);
          break;
        case 1:
          result = ::mkdir(name.c_str(), 0755);
          break;
        case 2:
          result = ::symlink("x", name.c_str());
          break;
        default:
          result = ::mkfifo(name.c_str(), 0644);
      }
      if (result < 0) {
        if (errno != EDQUOT) ++other_errors;
        break;
      }
      ++made;
    }
  });
  EXPECT_EQ(0, other_errors);
  EXPECT_EQ(room, made);
  EXPECT_EQ(0U, free_inodes());
  EXPECT_EQ(0, ::link(path("many/0-0").c_str(), path("many/link").c_str())) << "a name is no inode";
  EXPECT_EQ(0, std::system(("rm -rf '" + path("many") + "'").c_str()));
  for (int i = 0; i < 1500 && free_inodes() != room; ++i) ::usleep(20'000);
  EXPECT_EQ(room, free_inodes());
}

}  // namespace
}  // namespace projfs

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::cerr << "usage: quota_test [--gtest_...] DIR    (an empty project with small quotas)\n";
    return 2;
  }
  projfs::root = argv[1];
  return RUN_ALL_TESTS();
}
