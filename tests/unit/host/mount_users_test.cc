// SPDX-License-Identifier: MIT
#include "host/mount_users.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "host/descriptor.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

// A child that holds something until it is told to end.
class Holder {
 public:
  template <class Hold>
  explicit Holder(Hold hold) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      hold();
      const char byte = 0;
      (void)!::write(ready[1], &byte, 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 1;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  ~Holder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

bool contains(const std::vector<MountUser>& users, pid_t pid) {
  return std::any_of(users.begin(), users.end(), [&](const MountUser& u) { return u.pid == pid; });
}

TEST(MountUsers, AnOpenFileAWorkingDirectoryAndAMapping) {
  const testing::TempDir dir;
  const std::string file = dir.path() + "/file";
  { const Descriptor made(::open(file.c_str(), O_CREAT | O_RDWR, 0600)); }
  ASSERT_EQ(::truncate(file.c_str(), 4096), 0);
  const Holder opened([&] {
    if (::chdir("/proc") != 0 || ::open(file.c_str(), O_RDONLY) < 0) ::_exit(1);
  });
  const Holder inside([&] {
    if (::chdir(dir.path().c_str()) != 0) ::_exit(1);
  });
  const Holder mapped([&] {
    const int fd = ::open(file.c_str(), O_RDONLY);
    if (::chdir("/proc") != 0 || ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
      ::_exit(1);
    ::close(fd);
  });
  const auto users = users_of_mount(dir.path());
  EXPECT_TRUE(contains(users, opened.pid()));
  EXPECT_TRUE(contains(users, inside.pid()));
  EXPECT_TRUE(contains(users, mapped.pid()));
  EXPECT_FALSE(contains(users, ::getpid())) << "the asker is left out";
  for (const auto& user : users) {
    if (user.pid != opened.pid()) continue;
    EXPECT_EQ(user.command.substr(0, 4), "test");
    EXPECT_FALSE(user.user.empty());
  }
}

TEST(MountUsers, ADirectoryThatIsNotThereHasNone) {
  EXPECT_TRUE(users_of_mount("/nonexistent/nowhere").empty());
}

TEST(MountUsers, AreToldInOneSentence) {
  std::vector<MountUser> users = {{12, "vim", "alice"}, {40, "bash", "1234"}};
  EXPECT_EQ(describe(users), "12 vim (alice), 40 bash (1234)");
  for (int i = 0; i < 10; ++i) users.push_back({100 + i, "x", "y"});
  EXPECT_NE(describe(users).find(" and 4 more"), std::string::npos);
}

}  // namespace
}  // namespace projfs
