// SPDX-License-Identifier: MIT
// Host trees here hold only what an unprivileged user can make; tests/suites/10-cli does the rest.
#include "host/tree_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>

#include "host/descriptor.h"
#include "support/memory_volume.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

namespace fs = std::filesystem;

class TreeCopyTest : public ::testing::Test {
 protected:
  TreeCopyTest() {
    fs::create_directories(source_ + "/directory/below");
    write("file", "some bytes");
    write("directory/below/deep", std::string(3 << 20, 'x'));
    fs::create_hard_link(source_ + "/file", source_ + "/directory/second-name");
    fs::create_symlink("file", source_ + "/link");
    ::mkfifo((source_ + "/fifo").c_str(), 0640);
    const Descriptor sparse(::open((source_ + "/sparse").c_str(), O_CREAT | O_WRONLY, 0600));
    EXPECT_EQ(::pwrite(sparse.get(), "end", 3, 10 << 20), 3);
    EXPECT_EQ(::ftruncate(sparse.get(), 20 << 20), 0);
    set_time("file", 1'000'000'000, 123'456'789);
    set_time("directory", 1'100'000'000, 1);
    ::chmod((source_ + "/directory").c_str(), 0751);
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(source_ + "/" + name) << text;
  }
  void set_time(const std::string& name, time_t seconds, long ns) const {
    const timespec times[] = {{seconds, ns}, {seconds, ns}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (source_ + "/" + name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  CopyOutcome import() {
    auto done = import_tree(volume_, source_, std::nullopt, watch_);
    EXPECT_TRUE(done) << (done ? "" : done.error().message);
    return done.value_or(CopyOutcome{});
  }
  Attr attr(const fs::path& path) {
    Ino ino = kRootIno;
    Attr found{};
    for (const auto& part : path) {
      const auto next = volume_.lookup(ino, part.native());
      EXPECT_TRUE(next) << path;
      if (!next) return {};
      found = *next;
      ino = next->ino;
    }
    return found;
  }
  std::string content(const fs::path& path) {
    const auto a = attr(path);
    std::string out(a.size, '\0');
    const auto n = volume_.read(
        a.ino, 0, MutableBytes(reinterpret_cast<std::uint8_t*>(out.data()), out.size()));
    EXPECT_EQ(n, a.size);
    return out;
  }

  testing::TempDir dir_;
  std::string source_ = dir_.path() + "/source";
  std::string target_ = dir_.path() + "/target";
  testing::MemoryVolume volume_;
  CopyWatch watch_;
};

TEST_F(TreeCopyTest, ImportBringsEverything) {
  const auto outcome = import();
  EXPECT_EQ(outcome.files, 3u);
  EXPECT_EQ(outcome.directories, 2u);
  EXPECT_EQ(outcome.others, 3u);  // second name, link, fifo
  EXPECT_EQ(outcome.failed, 0u);
  EXPECT_EQ(content("file"), "some bytes");
  EXPECT_EQ(content("directory/below/deep"), std::string(3 << 20, 'x'));
  EXPECT_EQ(attr("directory/second-name").ino, attr("file").ino);
  EXPECT_EQ(attr("file").nlink, 2u);
  EXPECT_EQ(attr("file").mtime.tv_sec, 1'000'000'000);
  EXPECT_EQ(attr("file").mtime.tv_nsec, 123'456'789);
  // Although files were made in it after it.
  EXPECT_EQ(attr("directory").mtime.tv_sec, 1'100'000'000);
  EXPECT_EQ(attr("directory").mode & 07777, 0751u);
  EXPECT_TRUE(S_ISFIFO(attr("fifo").mode));
  EXPECT_EQ(attr("fifo").mode & 07777, 0640u);
  EXPECT_EQ(volume_.readlink(attr("link").ino), "file");
  EXPECT_EQ(attr("file").uid, ::geteuid());
}

TEST_F(TreeCopyTest, HolesStayHoles) {
  import();
  const auto sparse = attr("sparse");
  EXPECT_EQ(sparse.size, 20u << 20);
  EXPECT_LT(sparse.allocated, 1u << 20);
  EXPECT_EQ(content("sparse").substr(10 << 20, 3), "end");
}

TEST_F(TreeCopyTest, ASecondImportCopiesNothing) {
  import();
  const auto outcome = import();
  EXPECT_EQ(outcome.files + outcome.directories + outcome.others + outcome.bytes, 0u);
  EXPECT_EQ(outcome.unchanged, 8u);
}

TEST_F(TreeCopyTest, WhatChangedIsCopiedAgain) {
  import();
  write("file", "other");
  fs::remove(source_ + "/link");
  fs::create_directory(source_ + "/link");
  fs::remove(source_ + "/fifo");
  write("fifo", "no fifo any more");
  import();
  EXPECT_EQ(content("file"), "other");
  EXPECT_EQ(attr("directory/second-name").ino, attr("file").ino);
  EXPECT_TRUE(S_ISDIR(attr("link").mode));
  EXPECT_EQ(content("fifo"), "no fifo any more");
}

TEST_F(TreeCopyTest, AnotherNameOfAReplacedFileKeepsItsContent) {
  import();
  ASSERT_TRUE(volume_.link(attr("file").ino, kRootIno, "only-in-the-volume"));
  write("file", "other");
  import();
  EXPECT_EQ(content("file"), "other");
  EXPECT_EQ(content("only-in-the-volume"), "some bytes");
}

TEST_F(TreeCopyTest, ADirectoryInTheWayIsAProblemOfOneEntry) {
  ASSERT_TRUE(volume_.mkdir(kRootIno, "file", 0755, Caller{}));
  const auto outcome = import();
  EXPECT_EQ(outcome.failed, 1u);
  ASSERT_EQ(outcome.problems.size(), 1u);
  EXPECT_NE(outcome.problems[0].find("/file: "), std::string::npos);
  EXPECT_EQ(content("directory/second-name"), "some bytes");
}

TEST_F(TreeCopyTest, QuotaStopsTheImportAndKeepsWhatIsThere) {
  bool full = true;
  volume_.set_hook([&](std::string_view operation, Ino) -> Status {
    if (full && operation == "write") return fail(EDQUOT);
    return {};
  });
  const auto stopped = import_tree(volume_, source_, std::nullopt, watch_);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, EDQUOT);
  EXPECT_NE(stopped.error().message.find("directory/below/deep"), std::string::npos);
  full = false;
  import();
  EXPECT_EQ(content("directory/below/deep").size(), 3u << 20);
}

TEST_F(TreeCopyTest, WhoeverWatchesMayStopIt) {
  watch_.progress = [](const CopyProgress& p) {
    EXPECT_EQ(p.files_total, 8u);
    return p.bytes == 0;
  };
  const auto stopped = import_tree(volume_, source_, std::nullopt, watch_);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ECANCELED);
}

TEST_F(TreeCopyTest, NamesAreAnnouncedOnlyWhenTheyAreNew) {
  std::vector<std::string> names;
  watch_.changed = [&](Ino, std::string_view name, Ino) {
    if (!name.empty()) names.emplace_back(name);
  };
  import();
  EXPECT_EQ(names.size(), 8u);
  names.clear();
  write("file", "other");
  import();
  // Written anew, since it has two names.
  EXPECT_EQ(names, (std::vector<std::string>{"second-name", "file"}));
}

TEST_F(TreeCopyTest, AMissingSourceIsSaid) {
  const auto done = import_tree(volume_, dir_.path() + "/nothing", std::nullopt, watch_);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ENOENT);
}

TEST_F(TreeCopyTest, ExportGivesBackWhatWasImported) {
  import();
  const auto out = export_tree(volume_, target_, false, {}, watch_);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->files, 3u);
  EXPECT_EQ(out->failed, 0u);
  EXPECT_TRUE(fs::equivalent(target_ + "/file", target_ + "/directory/second-name"));
  EXPECT_EQ(fs::read_symlink(target_ + "/link"), "file");
  struct stat here {
  }, there{};
  for (const auto* name : {"file", "directory", "directory/below/deep", "sparse", "fifo", "link"}) {
    ASSERT_EQ(::lstat((source_ + "/" + name).c_str(), &here), 0);
    ASSERT_EQ(::lstat((target_ + "/" + name).c_str(), &there), 0) << name;
    EXPECT_EQ(here.st_mode, there.st_mode) << name;
    if (!S_ISDIR(here.st_mode)) {
      EXPECT_EQ(here.st_size, there.st_size) << name;
    }
    EXPECT_EQ(here.st_mtim.tv_sec, there.st_mtim.tv_sec) << name;
    EXPECT_EQ(here.st_mtim.tv_nsec, there.st_mtim.tv_nsec) << name;
  }
  ASSERT_EQ(::stat((target_ + "/sparse").c_str(), &there), 0);
  EXPECT_LT(there.st_blocks * 512, 1 << 20);
}

TEST_F(TreeCopyTest, ExportWantsAnEmptyDirectoryUnlessItResumes) {
  import();
  fs::create_directory(target_);
  std::ofstream(target_ + "/precious") << "x";
  const auto refused = export_tree(volume_, target_, false, {}, watch_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOTEMPTY);
  EXPECT_EQ(std::distance(fs::directory_iterator(target_), fs::directory_iterator()), 1);

  ASSERT_TRUE(export_tree(volume_, target_, true, {}, watch_));
  EXPECT_TRUE(fs::exists(target_ + "/precious"));
  fs::remove(target_ + "/file");
  const auto again = export_tree(volume_, target_, true, {}, watch_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->unchanged, 5u);  // two directories, three files
  EXPECT_TRUE(fs::equivalent(target_ + "/file", target_ + "/directory/second-name"));
}

}  // namespace
}  // namespace projfs
