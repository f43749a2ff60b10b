// SPDX-License-Identifier: MIT
//
// Files shared between descriptors and processes: appending, mapping, direct I/O, locks.
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Sharing : public Sandbox {};

TEST_F(Sharing, AppendersNeverOverwriteEachOther) {
  constexpr int kProcesses = 8, kRecords = 500, kLength = 100;
  write_file("log", "");
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int fd = ::open("log", O_WRONLY | O_APPEND);
      const std::string record(kLength, static_cast<char>('a' + p));
      for (int i = 0; i < kRecords; ++i)
        if (::write(fd, record.data(), record.size()) != kLength) ::_exit(1);
      ::_exit(0);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(pid, ::waitpid(pid, &status, 0));
    EXPECT_EQ(0, status);
  }
  const std::string log = read_file("log");
  ASSERT_EQ(static_cast<std::size_t>(kProcesses * kRecords * kLength), log.size());
  std::vector<int> count(kProcesses);
  for (std::size_t at = 0; at < log.size(); at += kLength) {
    const std::string record = log.substr(at, kLength);
    ASSERT_EQ(std::string(kLength, record[0]), record) << "torn at " << at;
    ++count[record[0] - 'a'];
  }
  for (const int c : count) EXPECT_EQ(kRecords, c);
}

TEST_F(Sharing, AppendIgnoresThePosition) {
  write_file("f", "12345");
  const Fd fd = open_file("f", O_RDWR | O_APPEND);
  ASSERT_EQ(0, ::lseek(fd, 0, SEEK_SET));
  ASSERT_EQ(1, ::write(fd, "6", 1));
  EXPECT_EQ(6, ::lseek(fd, 0, SEEK_CUR));
  EXPECT_EQ("123456", read_file("f"));
}

class Map {
 public:
  Map(int fd, std::size_t length, int protection, int flags)
      : at_(::mmap(nullptr, length, protection, flags, fd, 0)), length_(length) {
    EXPECT_NE(MAP_FAILED, at_) << errno;
  }
  ~Map() { ::munmap(at_, length_); }
  Map(const Map&) = delete;
  char* data() { return static_cast<char*>(at_); }
  [[nodiscard]] int sync() const { return ::msync(at_, length_, MS_SYNC); }

 private:
  void* at_;
  std::size_t length_;
};

TEST_F(Sharing, SharedMappingsAreTheFile) {
  write_file("f", std::string(20000, 'a'));
  const Fd fd = open_file("f", O_RDWR);
  Map map(fd, 20000, PROT_READ | PROT_WRITE, MAP_SHARED);
  EXPECT_EQ('a', map.data()[19999]);
  map.data()[10000] = 'b';
  EXPECT_EQ("b", read_range(fd, 10000, 1)) << "read sees the mapping's page";
  ASSERT_EQ(1, ::pwrite(fd, "c", 1, 5));
  EXPECT_EQ('c', map.data()[5]) << "the mapping sees writes";
  EXPECT_EQ(0, in_child([] {
              const int other = ::open("f", O_RDWR);
              auto* p = static_cast<char*>(
                  ::mmap(nullptr, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0));
              if (p[10000] != 'b') return 1;
              p[15000] = 'd';
              return 0;
            }));
  EXPECT_EQ('d', map.data()[15000]);
  ASSERT_EQ(0, map.sync());
  std::string expected(20000, 'a');
  expected[10000] = 'b';
  expected[5] = 'c';
  expected[15000] = 'd';
  EXPECT_EQ(expected, read_file("f"));
  EXPECT_EQ(0, map.data()[20001]) << "zeros after the end, up to the page";
}

TEST_F(Sharing, MappingsBeyondTheEndGetASignal) {
  write_file("f", "short");
  EXPECT_EQ(-1, in_child([] {
    const int fd = ::open("f", O_RDWR);
    auto* p = static_cast<volatile char*>(::mmap(nullptr, 16384, PROT_READ, MAP_SHARED, fd, 0));
    return p[8192];
  }));
}

TEST_F(Sharing, PrivateMappingsStayPrivate) {
  write_file("f", std::string(8192, 'a'));
  const Fd fd = open_file("f", O_RDONLY);
  Map map(fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map.data()[100] = 'b';
  EXPECT_EQ(std::string(8192, 'a'), read_file("f"));
  EXPECT_EQ('b', map.data()[100]);
}

TEST_F(Sharing, MappingsOutliveTheDescriptorAndTheName) {
  write_file("f", std::string(8192, 'a'));
  std::unique_ptr<Map> map;
  {
    const Fd fd = open_file("f", O_RDWR);
    map = std::make_unique<Map>(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
  }
  ASSERT_EQ(0, ::unlink("f"));
  map->data()[4096] = 'z';
  EXPECT_EQ(0, map->sync());
  EXPECT_EQ('z', map->data()[4096]);
  EXPECT_EQ('a', map->data()[0]);
}

TEST_F(Sharing, DirectAndBufferedAgree) {
  constexpr std::size_t kLength = 65536;
  void* raw = nullptr;
  ASSERT_EQ(0, ::posix_memalign(&raw, 4096, kLength));
  const std::unique_ptr<void, decltype(&std::free)> buffer(raw, &std::free);
  const Fd direct(::open("f", O_RDWR | O_CREAT | O_DIRECT, 0644));
  if (direct < 0 && errno == EINVAL) GTEST_SKIP() << "no O_DIRECT here";
  ASSERT_GE(direct, 0) << errno;
  const std::string content = pattern(kLength, 5);
  std::memcpy(raw, content.data(), kLength);
  ASSERT_EQ(static_cast<ssize_t>(kLength), ::pwrite(direct, raw, kLength, 0)) << errno;
  EXPECT_EQ(content, read_file("f"));
  const Fd buffered = open_file("f", O_RDWR);
  ASSERT_EQ(3, ::pwrite(buffered, "new", 3, 8192));
  std::memset(raw, 0, kLength);
  ASSERT_EQ(static_cast<ssize_t>(kLength), ::pread(direct, raw, kLength, 0)) << errno;
  EXPECT_EQ(0, std::memcmp(static_cast<char*>(raw) + 8192, "new", 3));
  ASSERT_EQ(4096, ::pwrite(direct, raw, 4096, kLength)) << "extends";
  EXPECT_EQ(static_cast<off_t>(kLength + 4096), stat_of("f").st_size);
  ASSERT_EQ(0, ::ftruncate(buffered, 5000));
  EXPECT_EQ(5000 - 4096, ::pread(direct, raw, 4096, 4096)) << "short at the end";
}

TEST_F(Sharing, FlockExcludesOtherProcesses) {
  write_file("f", "x");
  const Fd fd = open_file("f", O_RDWR);
  ASSERT_EQ(0, ::flock(fd, LOCK_EX));
  const auto other = [](int kind) {
    return in_child([kind] {
      const int mine = ::open("f", O_RDWR);
      return error_of(::flock(mine, kind | LOCK_NB));
    });
  };
  EXPECT_EQ(EWOULDBLOCK, other(LOCK_EX));
  EXPECT_EQ(EWOULDBLOCK, other(LOCK_SH));
  ASSERT_EQ(0, ::flock(fd, LOCK_SH));
  EXPECT_EQ(EWOULDBLOCK, other(LOCK_EX));
  EXPECT_EQ(0, other(LOCK_SH));
  ASSERT_EQ(0, ::flock(fd, LOCK_UN));
  EXPECT_EQ(0, other(LOCK_EX));
}

TEST_F(Sharing, RecordLocksExcludeByRange) {
  write_file("f", std::string(1000, 'x'));
  const Fd fd = open_file("f", O_RDWR);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = 100;
  lock.l_len = 100;
  ASSERT_EQ(0, ::fcntl(fd, F_SETLK, &lock));
  const auto other = [](short type, off_t start, off_t length) {
    return in_child([=] {
      const int mine = ::open("f", O_RDWR);
      struct flock l {};
      l.l_type = type;
      l.l_start = start;
      l.l_len = length;
      return error_of(::fcntl(mine, F_SETLK, &l));
    });
  };
  EXPECT_EQ(EAGAIN, other(F_WRLCK, 150, 10));
  EXPECT_EQ(EAGAIN, other(F_RDLCK, 0, 0));
  EXPECT_EQ(0, other(F_WRLCK, 0, 100));
  EXPECT_EQ(0, other(F_WRLCK, 200, 0));
  EXPECT_EQ(0, in_child([parent = ::getpid()] {
              const int mine = ::open("f", O_RDWR);
              struct flock l {};
              l.l_type = F_WRLCK;
              if (::fcntl(mine, F_GETLK, &l) < 0) return errno;
              return l.l_type == F_WRLCK && l.l_start == 100 && l.l_len == 100 && l.l_pid == parent
                         ? 0
                         : 1;
            }));
  { const Fd again = open_file("f", O_RDWR); }
  EXPECT_EQ(0, other(F_WRLCK, 150, 10)) << "closing any descriptor of the file drops them";
}

TEST_F(Sharing, LocksGoWithTheProcess) {
  write_file("f", "x");
  int ready[2];
  ASSERT_EQ(0, ::pipe(ready));
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::open("f", O_RDWR);
    if (::flock(fd, LOCK_EX) < 0 || ::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char c = 0;
  ASSERT_EQ(1, ::read(ready[0], &c, 1));
  const Fd fd = open_file("f", O_RDWR);
  EXPECT_EQ(EWOULDBLOCK, error_of(::flock(fd, LOCK_EX | LOCK_NB)));
  ASSERT_EQ(0, ::kill(child, SIGKILL));
  ASSERT_EQ(child, ::waitpid(child, nullptr, 0));
  EXPECT_EQ(0, error_of(::flock(fd, LOCK_EX)));
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace projfs::posix
