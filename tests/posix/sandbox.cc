// SPDX-License-Identifier: MIT
#include "sandbox.h"

#include <dirent.h>
#include <grp.h>
#include <sys/wait.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

namespace projfs::posix {

std::string sandbox_root;

namespace {
int run_child(const User* user, const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (user && (::setgroups(user->groups.size(), user->groups.data()) < 0 ||
                 ::setgid(user->gid) < 0 || ::setuid(user->uid) < 0))
      ::_exit(255);
    ::_exit(body());
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
      WEXITSTATUS(status) == 255)
    return -1;
  return WEXITSTATUS(status);
}
}  // namespace

int as_user(const User& user, const std::function<int()>& body) { return run_child(&user, body); }
int in_child(const std::function<int()>& body) { return run_child(nullptr, body); }

struct stat stat_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(0, error_of(::stat(path.c_str(), &st))) << path;
  return st;
}
struct stat lstat_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(0, error_of(::lstat(path.c_str(), &st))) << path;
  return st;
}
mode_t mode_of(const std::string& path) { return lstat_of(path).st_mode & 07777; }
bool exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

Fd open_file(const std::string& path, int flags, mode_t mode) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  EXPECT_GE(fd, 0) << path << ": " << errno;
  return fd;
}

void write_file(const std::string& path, const std::string& content) {
  const Fd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  EXPECT_EQ(static_cast<ssize_t>(content.size()), ::write(fd, content.data(), content.size()));
}

std::string read_range(int fd, std::uint64_t offset, std::size_t length) {
  std::string out(length, '\0');
  std::size_t done = 0;
  while (done < length) {
    const ssize_t n = ::pread(fd, out.data() + done, length - done, offset + done);
    if (n <= 0) {
      EXPECT_EQ(0, n) << errno;
      break;
    }
    done += n;
  }
  out.resize(done);
  return out;
}

std::string read_file(const std::string& path) {
  const Fd fd = open_file(path, O_RDONLY);
  struct stat st {};
  EXPECT_EQ(0, ::fstat(fd, &st));
  return read_range(fd, 0, st.st_size);
}

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  DIR* d = ::opendir(dir.c_str());
  EXPECT_NE(nullptr, d) << dir;
  if (!d) return names;
  while (const dirent* e = ::readdir(d)) {
    const std::string name = e->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(d);
  std::sort(names.begin(), names.end());
  return names;
}

std::string pattern(std::size_t length, unsigned seed) {
  std::string out(length, '\0');
  std::uint32_t x = seed * 2654435761U + 12345;
  for (auto& c : out) {
    x = x * 1664525U + 1013904223U;
    c = static_cast<char>(x >> 24);
  }
  return out;
}

void let_clock_move() { ::usleep(20'000); }

bool long_campaign() {
  const char* v = std::getenv("LONG");
  return v && *v;
}

void Sandbox::SetUp() {
  ::umask(0);
  std::string name = sandbox_root + "/posix-XXXXXX";
  ASSERT_NE(nullptr, ::mkdtemp(name.data())) << name << ": " << errno;
  dir_ = name;
  ASSERT_EQ(0, ::chmod(name.c_str(), 0777));
  ASSERT_EQ(0, ::chdir(name.c_str()));
  ::umask(022);
}

void Sandbox::TearDown() {
  ASSERT_EQ(0, ::chdir("/"));
  std::error_code error;
  std::filesystem::remove_all(dir_, error);
  EXPECT_FALSE(error) << dir_ << ": " << error.message();
}

}  // namespace projfs::posix

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc != 2 || argv[1][0] != '/') {
    std::cerr << "usage: posix_test [--gtest_...] DIR    (absolute; DIR stays as it was)\n";
    return 2;
  }
  if (::geteuid() != 0) {
    std::cerr << "posix_test: needs root: it acts as several users\n";
    return 2;
  }
  projfs::posix::sandbox_root = argv[1];
  return RUN_ALL_TESTS();
}
