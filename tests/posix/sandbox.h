// SPDX-License-Identifier: MIT
//
// What the POSIX tests share: a fresh directory for each test below the one given on the command
// line, calls as their errno, and code run as an unprivileged user.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace projfs::posix {

// 0, or why the system call that returned `result` failed.
inline int error_of(long result) { return result < 0 ? errno : 0; }

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  operator int() const { return fd_; }  // NOLINT: stands for the descriptor everywhere

 private:
  int fd_ = -1;
};

struct User {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};
inline const User kAlice{20001, 20001, {}};
inline const User kBob{20002, 20002, {}};

// Runs `body` in a child process as `user`; its result (0..254), or -1 if the child died.
int as_user(const User& user, const std::function<int()>& body);
// The same as root, for what needs another process.
int in_child(const std::function<int()>& body);

struct stat stat_of(const std::string& path);  // follows symbolic links
struct stat lstat_of(const std::string& path);
mode_t mode_of(const std::string& path);  // permission bits, set-id and sticky
bool exists(const std::string& path);
Fd open_file(const std::string& path, int flags = O_RDWR | O_CREAT, mode_t mode = 0644);
void write_file(const std::string& path, const std::string& content);
std::string read_file(const std::string& path);
std::string read_range(int fd, std::uint64_t offset, std::size_t length);
std::vector<std::string> names_in(const std::string& dir);  // sorted, without . and ..
std::string pattern(std::size_t length, unsigned seed);
inline std::int64_t ns(const timespec& t) { return t.tv_sec * 1'000'000'000LL + t.tv_nsec; }
// Long enough for the coarsest time stamps of any file system compared with.
void let_clock_move();

bool long_campaign();

// The working directory is a fresh, world-accessible directory during a test.
class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

 private:
  std::string dir_;
};

extern std::string sandbox_root;

}  // namespace projfs::posix
