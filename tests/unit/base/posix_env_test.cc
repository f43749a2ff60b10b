// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <filesystem>

#include "projfs/env.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::TempDir;

class PosixEnvTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_.path() + "/" + name; }
  std::unique_ptr<File> create(const std::string& name) {
    return std::move(Env::posix().open(path(name), Env::Open::kCreateNew).value());
  }
  static std::string contents(File& file) {
    std::string out(file.size().value(), '\0');
    const auto n = file.read(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    out.resize(n.value());
    return out;
  }

  TempDir dir_;
};

TEST_F(PosixEnvTest, WhatIsWrittenIsReadFromAnotherHandle) {
  auto file = create("a");
  ASSERT_TRUE(file->write(3, as_bytes("hello")));
  ASSERT_TRUE(file->sync());
  auto again = Env::posix().open(path("a"), Env::Open::kRead).value().release();
  const std::unique_ptr<File> reader(again);
  EXPECT_EQ(contents(*reader), std::string("\0\0\0hello", 8));
}

TEST_F(PosixEnvTest, ReadIsShortOnlyAtTheEnd) {
  auto file = create("a");
  ASSERT_TRUE(file->write(0, as_bytes("0123456789")));
  std::array<std::uint8_t, 8> buffer{};
  EXPECT_EQ(file->read(0, buffer).value(), 8u);
  EXPECT_EQ(file->read(4, buffer).value(), 6u);
  EXPECT_EQ(file->read(10, buffer).value(), 0u);
  EXPECT_EQ(file->read(100, buffer).value(), 0u);
}

// More buffers than one system call takes, empty ones among them.
TEST_F(PosixEnvTest, WritesAnyNumberOfBuffers) {
  std::string expected;
  std::vector<std::string> parts;
  for (int i = 0; i < 2500; ++i) {
    parts.push_back(i % 7 == 0 ? "" : std::to_string(i) + ";");
    expected += parts.back();
  }
  std::vector<iovec> buffers;
  for (auto& p : parts) buffers.push_back({p.data(), p.size()});
  auto file = create("a");
  ASSERT_TRUE(file->write(5, buffers));
  EXPECT_EQ(contents(*file), std::string(5, '\0') + expected);
  ASSERT_TRUE(file->write(0, std::span<const iovec>()));
}

// The kernel takes part of a write that reaches RLIMIT_FSIZE and refuses the rest.
TEST_F(PosixEnvTest, AWriteThatTheKernelTakesInPartIsAnError) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto file = create("a");
  auto* before = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string a(600, 'a');
  std::string b(600, 'b');
  const std::array<iovec, 2> buffers{{{a.data(), a.size()}, {b.data(), b.size()}}};
  const auto status = file->write(0, buffers);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, before);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, EFBIG);
  EXPECT_NE(status.error().message.find(path("a")), std::string::npos);
  EXPECT_EQ(contents(*file), a + b.substr(0, 400));
}

TEST_F(PosixEnvTest, OpenModes) {
  EXPECT_EQ(Env::posix().open(path("a"), Env::Open::kRead).error().code, ENOENT);
  EXPECT_EQ(Env::posix().open(path("a"), Env::Open::kReadWrite).error().code, ENOENT);
  create("a");
  const auto twice = Env::posix().open(path("a"), Env::Open::kCreateNew);
  EXPECT_EQ(twice.error().code, EEXIST);
  EXPECT_NE(twice.error().message.find(path("a")), std::string::npos);
  auto reader = std::move(Env::posix().open(path("a"), Env::Open::kRead).value());
  EXPECT_EQ(reader->write(0, as_bytes("x")).error().code, EBADF);
}

TEST_F(PosixEnvTest, DescriptorsDoNotPassToPrograms) {
  auto file = create("a");
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) != path("a")) continue;
    const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFD);
    EXPECT_TRUE(flags & FD_CLOEXEC);
    ++checked;
  }
  EXPECT_EQ(checked, 1);
}

TEST_F(PosixEnvTest, AllocateExtendsAndReservesBlocks) {
  auto file = create("a");
  ASSERT_TRUE(file->allocate(1 << 20));
  EXPECT_EQ(file->size().value(), 1u << 20);
  struct stat st {};
  ASSERT_EQ(::stat(path("a").c_str(), &st), 0);
  EXPECT_GE(st.st_blocks * 512, 1 << 20);
  ASSERT_TRUE(file->truncate(10));
  EXPECT_EQ(file->size().value(), 10u);
  ASSERT_TRUE(file->allocate(0));
  EXPECT_EQ(file->size().value(), 10u);
}

TEST_F(PosixEnvTest, Directories) {
  auto& env = Env::posix();
  ASSERT_TRUE(env.make_directory(path("d"), 0700));
  EXPECT_EQ(env.make_directory(path("d"), 0700).error().code, EEXIST);
  create("d/x");
  create("d/y");
  auto names = env.list(path("d")).value();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"x", "y"}));
  ASSERT_TRUE(env.rename(path("d/x"), path("d/z")));
  EXPECT_FALSE(env.exists(path("d/x")).value());
  EXPECT_TRUE(env.exists(path("d/z")).value());
  ASSERT_TRUE(env.sync_directory(path("d")));
  EXPECT_EQ(env.remove(path("d")).error().code, ENOTEMPTY);
  ASSERT_TRUE(env.remove(path("d/z")));
  ASSERT_TRUE(env.remove(path("d/y")));
  ASSERT_TRUE(env.remove(path("d")));
  EXPECT_EQ(env.list(path("d")).error().code, ENOENT);
  EXPECT_EQ(env.sync_directory(path("d")).error().code, ENOENT);
  EXPECT_EQ(env.remove(path("d")).error().code, ENOENT);
}

TEST_F(PosixEnvTest, SpaceIsPlausible) {
  const auto space = Env::posix().space(dir_.path()).value();
  EXPECT_GT(space.total_bytes, 0u);
  EXPECT_LE(space.available_bytes, space.total_bytes);
  EXPECT_EQ(Env::posix().space(path("none")).error().code, ENOENT);
}

}  // namespace
}  // namespace projfs
