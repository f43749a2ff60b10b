// SPDX-License-Identifier: MIT
//
// rename(2) and renameat2(2): every kind of object onto every other, with each flag.
#include <sys/sysmacros.h>
#include <cstdio>

#include "sandbox.h"

namespace projfs::posix {
namespace {

enum class Kind { kNone, kFile, kEmptyDir, kFullDir, kSymlink, kFifo };
constexpr Kind kKinds[] = {Kind::kNone,    Kind::kFile,    Kind::kEmptyDir,
                           Kind::kFullDir, Kind::kSymlink, Kind::kFifo};

bool is_dir(Kind k) { return k == Kind::kEmptyDir || k == Kind::kFullDir; }

void make(const std::string& path, Kind kind) {
  switch (kind) {
    case Kind::kNone:
      return;
    case Kind::kFile:
      return write_file(path, path);
    case Kind::kEmptyDir:
      ASSERT_EQ(0, ::mkdir(path.c_str(), 0755));
      return;
    case Kind::kFullDir:
      ASSERT_EQ(0, ::mkdir(path.c_str(), 0755));
      return write_file(path + "/inside", path);
    case Kind::kSymlink:
      ASSERT_EQ(0, ::symlink(path.c_str(), path.c_str()));
      return;
    case Kind::kFifo:
      ASSERT_EQ(0, ::mkfifo(path.c_str(), 0644));
      return;
  }
}

int expected(Kind from, Kind to, unsigned flags) {
  if (from == Kind::kNone) return ENOENT;
  if (flags & RENAME_EXCHANGE) return to == Kind::kNone ? ENOENT : 0;
  if (to == Kind::kNone) return 0;
  if (flags & RENAME_NOREPLACE) return EEXIST;
  if (is_dir(from) && !is_dir(to)) return ENOTDIR;
  if (!is_dir(from) && is_dir(to)) return EISDIR;
  if (to == Kind::kFullDir) return ENOTEMPTY;
  return 0;
}

class Rename : public Sandbox, public ::testing::WithParamInterface<unsigned> {};

TEST_P(Rename, EveryKindOntoEveryOther) {
  const unsigned flags = GetParam();
  for (const bool same_dir : {true, false}) {
    for (const Kind from : kKinds) {
      for (const Kind to : kKinds) {
        SCOPED_TRACE(testing::Message()
                     << "same directory " << same_dir << " from " << static_cast<int>(from)
                     << " to " << static_cast<int>(to));
        ASSERT_EQ(0, ::mkdir("a", 0755));
        ASSERT_EQ(0, ::mkdir("b", 0755));
        const std::string source = "a/source";
        const std::string target = same_dir ? "a/target" : "b/target";
        make(source, from);
        make(target, to);
        struct stat was {
        }, was_target{};
        if (from != Kind::kNone) was = lstat_of(source);
        if (to != Kind::kNone) was_target = lstat_of(target);
        const auto dir_a = stat_of("a"), dir_b = stat_of("b");
        const int want = expected(from, to, flags);
        ASSERT_EQ(want,
                  error_of(::renameat2(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), flags)));
        if (want == 0) {
          EXPECT_EQ(was.st_ino, lstat_of(target).st_ino);
          EXPECT_EQ(was.st_mode, lstat_of(target).st_mode);
          if (flags & RENAME_EXCHANGE) {
            EXPECT_EQ(was_target.st_ino, lstat_of(source).st_ino);
          } else {
            EXPECT_FALSE(exists(source));
          }
          const bool dir_arrives = is_dir(from) && !(flags & RENAME_EXCHANGE && is_dir(to));
          const bool dir_leaves = is_dir(to) && !(flags & RENAME_EXCHANGE && is_dir(from));
          const int change_b = same_dir ? 0 : (dir_arrives ? 1 : 0) - (dir_leaves ? 1 : 0);
          if (!same_dir) {
            EXPECT_EQ(dir_b.st_nlink + change_b, stat_of("b").st_nlink);
          } else {
            const bool replaced = is_dir(to) && !(flags & RENAME_EXCHANGE);
            EXPECT_EQ(dir_a.st_nlink - (replaced ? 1 : 0), stat_of("a").st_nlink);
          }
        } else {
          EXPECT_EQ(from != Kind::kNone, exists(source));
          EXPECT_EQ(to != Kind::kNone, exists(target));
          EXPECT_EQ(ns(dir_a.st_mtim), ns(stat_of("a").st_mtim)) << "a failed call changes nothing";
        }
        ASSERT_EQ(0, ::system("rm -rf a b"));
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Flags, Rename,
                         ::testing::Values(0U, unsigned{RENAME_NOREPLACE},
                                           unsigned{RENAME_EXCHANGE}));

class RenameDetails : public Sandbox {};

TEST_F(RenameDetails, DirectoriesNeverMoveIntoThemselves) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  ASSERT_EQ(0, ::mkdir("d/e", 0755));
  EXPECT_EQ(EINVAL, error_of(::rename("d", "d/e/f")));
  EXPECT_EQ(EINVAL, error_of(::rename("d", "d/f")));
  EXPECT_EQ(ENOTEMPTY, error_of(::rename("d/e", "d")));
  EXPECT_EQ(EINVAL, error_of(::renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE)));
  EXPECT_EQ(0, error_of(::rename("d", "d")));
  EXPECT_NE(0, error_of(::rename("d/.", "x")));
  EXPECT_NE(0, error_of(::rename("d/e/..", "x")));
}

TEST_F(RenameDetails, LinksOfOneFileStayBoth) {
  write_file("a", "x");
  ASSERT_EQ(0, ::link("a", "b"));
  EXPECT_EQ(0, error_of(::rename("a", "b")));
  EXPECT_TRUE(exists("a"));
  EXPECT_TRUE(exists("b"));
  EXPECT_EQ(2U, stat_of("a").st_nlink);
}

TEST_F(RenameDetails, ReplacedFilesLoseALinkButLiveWhileOpen) {
  write_file("a", "new");
  write_file("b", "old");
  ASSERT_EQ(0, ::link("b", "b2"));
  const Fd old = open_file("b", O_RDWR);
  ASSERT_EQ(0, ::rename("a", "b"));
  struct stat st {};
  ASSERT_EQ(0, ::fstat(old, &st));
  EXPECT_EQ(1U, st.st_nlink);
  ASSERT_EQ(0, ::unlink("b2"));
  ASSERT_EQ(0, ::fstat(old, &st));
  EXPECT_EQ(0U, st.st_nlink);
  EXPECT_EQ("old", read_range(old, 0, 10));
  EXPECT_EQ("new", read_file("b"));
}

TEST_F(RenameDetails, Times) {
  ASSERT_EQ(0, ::mkdir("a", 0755));
  ASSERT_EQ(0, ::mkdir("b", 0755));
  write_file("a/f", "x");
  const auto file = stat_of("a/f");
  const auto a = stat_of("a"), b = stat_of("b");
  let_clock_move();
  ASSERT_EQ(0, ::rename("a/f", "b/f"));
  EXPECT_EQ(ns(file.st_mtim), ns(stat_of("b/f").st_mtim));
  EXPECT_GT(ns(stat_of("b/f").st_ctim), ns(file.st_ctim));
  EXPECT_GT(ns(stat_of("a").st_mtim), ns(a.st_mtim));
  EXPECT_GT(ns(stat_of("b").st_mtim), ns(b.st_mtim));
  EXPECT_GT(ns(stat_of("a").st_ctim), ns(a.st_ctim));
}

TEST_F(RenameDetails, MovedDirectoriesNeedWriteOfTheirOwn) {
  ASSERT_EQ(0, ::mkdir("from", 0777));
  ASSERT_EQ(0, ::mkdir("to", 0777));
  ASSERT_EQ(0, ::chmod("from", 0777));
  ASSERT_EQ(0, ::chmod("to", 0777));
  ASSERT_EQ(0, ::mkdir("from/d", 0755));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::rename("from/d", "to/d")); }))
      << "its .. would change";
  EXPECT_EQ(0, as_user(kBob, [] { return error_of(::rename("from/d", "from/e")); }));
}

TEST_F(RenameDetails, UnknownFlagsAreRefused) {
  write_file("a", "x");
  EXPECT_EQ(EINVAL, error_of(::renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 1U << 9)));
  EXPECT_EQ(EINVAL, error_of(::renameat2(AT_FDCWD, "a", AT_FDCWD, "b",
                                         RENAME_EXCHANGE | RENAME_NOREPLACE)));
  EXPECT_TRUE(exists("a"));
}

}  // namespace
}  // namespace projfs::posix
