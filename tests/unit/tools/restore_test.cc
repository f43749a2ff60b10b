// SPDX-License-Identifier: MIT
#include "restore.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <set>

#include "support/temp_dir.h"

namespace projfs {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RestoreTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& content) {
    std::ofstream(path(name)) << content;
  }
  std::string get(const std::string& name) {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string path(const std::string& name) { return dir_.path() + "/" + name; }
  struct stat look(const std::string& name) {
    struct stat info {};
    EXPECT_EQ(::lstat(path(name).c_str(), &info), 0) << name;
    return info;
  }
  std::set<std::string> names(const std::string& directory) {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(path(directory)))
      out.insert(entry.path().filename().string());
    return out;
  }
  testing::TempDir dir_;
};

TEST_F(RestoreTest, AFileWithModeTimesAndAttributes) {
  put("old", "content");
  ::chmod(path("old").c_str(), 0640);
  const timespec times[2] = {{1'600'000'000, 5}, {1'500'000'000, 7}};
  ::utimensat(AT_FDCWD, path("old").c_str(), times, 0);
  const bool attributes =
      ::setxattr(path("old").c_str(), "user.colour", "red", 3, 0) == 0;  // not on every tmpfs
  const auto done = restore(path("old"), path("new"), {});
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_EQ(done->files, 1u);
  EXPECT_EQ(done->bytes, 7u);
  EXPECT_EQ(done->not_kept, 0u);
  EXPECT_EQ(get("new"), "content");
  EXPECT_EQ(look("new").st_mode & 07777, 0640u);
  EXPECT_EQ(look("new").st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(look("new").st_mtim.tv_nsec, 7);
  if (attributes) {
    char value[3];
    EXPECT_EQ(::getxattr(path("new").c_str(), "user.colour", value, sizeof value), 3);
  }
  EXPECT_EQ(names(""), (std::set<std::string>{"new", "old"})) << "nothing is left beside it";
}

TEST_F(RestoreTest, AFileIsReplacedAsAWhole) {
  put("old", "content");
  put("new", "something else, and longer");
  const int reader = ::open(path("new").c_str(), O_RDONLY);
  ASSERT_TRUE(restore(path("old"), path("new"), {}));
  EXPECT_EQ(get("new"), "content");
  char first = 0;
  EXPECT_EQ(::pread(reader, &first, 1, 0), 1);
  EXPECT_EQ(first, 's') << "who had it open still has what it was";
  ::close(reader);
}

TEST_F(RestoreTest, ATreeWithAllKindsOfEntries) {
  fs::create_directories(path("old/sub/deeper"));
  put("old/a", "a");
  put("old/sub/b", std::string(3 << 20, 'b'));
  put("old/empty", "");
  fs::create_hard_link(path("old/a"), path("old/sub/same"));
  fs::create_symlink("../nowhere", path("old/sub/link"));
  ::mkfifo(path("old/fifo").c_str(), 0600);
  ::chmod(path("old/sub").c_str(), 0500);
  const auto done = restore(path("old"), path("new"), {});
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_EQ(done->directories, 3u);
  EXPECT_EQ(done->others, 2u);
  EXPECT_EQ(get("new/sub/b").size(), 3u << 20);
  EXPECT_EQ(look("new/a").st_ino, look("new/sub/same").st_ino);
  EXPECT_EQ(look("new/a").st_nlink, 2u);
  EXPECT_EQ(fs::read_symlink(path("new/sub/link")), "../nowhere");
  EXPECT_TRUE(S_ISFIFO(look("new/fifo").st_mode));
  EXPECT_EQ(look("new/sub").st_mode & 07777, 0500u);
  EXPECT_EQ(look("new/sub").st_mtim.tv_sec, look("old/sub").st_mtim.tv_sec);
  EXPECT_TRUE(fs::is_empty(path("new/sub/deeper")));
  ::chmod(path("old/sub").c_str(), 0700);
  ::chmod(path("new/sub").c_str(), 0700);
}

TEST_F(RestoreTest, HolesStayHoles) {
  put("old", "");
  fs::resize_file(path("old"), 8 << 20);
  ASSERT_TRUE(restore(path("old"), path("new"), {}));
  EXPECT_EQ(look("new").st_size, 8 << 20);
  EXPECT_LT(look("new").st_blocks, 8 << 10);
}

TEST_F(RestoreTest, ADirectoryThatIsThereIsReplacedOnlyWhenAsked) {
  fs::create_directories(path("old"));
  put("old/a", "old");
  fs::create_directories(path("new"));
  put("new/precious", "new");
  const auto refused = restore(path("old"), path("new"), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EEXIST);
  EXPECT_THAT(refused.error().message, HasSubstr("--replace"));
  EXPECT_EQ(names("new"), std::set<std::string>{"precious"});
  RestoreOptions options;
  options.replace = true;
  ASSERT_TRUE(restore(path("old"), path("new"), options));
  EXPECT_EQ(names("new"), std::set<std::string>{"a"});
  EXPECT_EQ(names(""), (std::set<std::string>{"new", "old"}));
}

TEST_F(RestoreTest, OtherKindsInTheWay) {
  fs::create_directories(path("directory"));
  put("file", "x");
  EXPECT_EQ(restore(path("file"), path("directory"), {}).error().code, EISDIR);
  EXPECT_EQ(restore(path("directory"), path("file"), {}).error().code, ENOTDIR);
  RestoreOptions options;
  options.replace = true;
  ASSERT_TRUE(restore(path("directory"), path("file"), options));
  EXPECT_TRUE(fs::is_directory(path("file")));
}

TEST_F(RestoreTest, WhatIsMissingIsSaid) {
  put("file", "x");
  EXPECT_EQ(restore(path("nothing"), path("file"), {}).error().code, ENOENT);
  EXPECT_EQ(restore(path("file"), path("nowhere/file"), {}).error().code, ENOENT);
  EXPECT_EQ(restore(path("file"), path(".."), {}).error().code, EINVAL);
  EXPECT_EQ(get("file"), "x");
}

TEST_F(RestoreTest, StoppedItLeavesNothing) {
  fs::create_directories(path("old/sub"));
  for (int i = 0; i < 10; ++i) put("old/sub/" + std::to_string(i), "x");
  int left = 7;
  RestoreOptions options;
  options.stop = [&] { return --left == 0; };
  const auto done = restore(path("old"), path("new"), options);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ECANCELED);
  EXPECT_EQ(names(""), std::set<std::string>{"old"});
}

}  // namespace
}  // namespace projfs
