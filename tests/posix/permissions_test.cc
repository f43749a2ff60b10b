// SPDX-License-Identifier: MIT
//
// Who may do what: mode bits, ownership, sticky and set-gid directories, and the dropping of set-id
// bits and file capabilities.
#include <sys/fsuid.h>
#include <sys/xattr.h>
#include <array>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Permissions : public Sandbox {};

int try_open(const char* path, int flags) {
  const int fd = ::open(path, flags);
  if (fd < 0) return errno;
  ::close(fd);
  return 0;
}

TEST_F(Permissions, ModeBitsGovernReadWriteAndExecute) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  const struct {
    mode_t mode;
    int alice_read, alice_write, bob_read, bob_write;
  } cases[] = {{0600, 0, 0, EACCES, EACCES},
               {0400, 0, EACCES, EACCES, EACCES},
               {0066, EACCES, EACCES, 0, 0},
               {0004, EACCES, EACCES, 0, EACCES},
               {0002, EACCES, EACCES, EACCES, 0}};
  for (const auto& c : cases) {
    ASSERT_EQ(0, ::chmod("f", c.mode));
    EXPECT_EQ(c.alice_read, as_user(kAlice, [] { return try_open("f", O_RDONLY); })) << c.mode;
    EXPECT_EQ(c.alice_write, as_user(kAlice, [] { return try_open("f", O_WRONLY); })) << c.mode;
    EXPECT_EQ(c.bob_read, as_user(kBob, [] { return try_open("f", O_RDONLY); })) << c.mode;
    EXPECT_EQ(c.bob_write, as_user(kBob, [] { return try_open("f", O_WRONLY); })) << c.mode;
    EXPECT_EQ(c.bob_write, as_user(kBob, [] { return error_of(::truncate("f", 0)); })) << c.mode;
  }
  ASSERT_EQ(0, ::chmod("f", 0640));
  EXPECT_EQ(0, as_user({kBob.uid, kAlice.gid, {}}, [] { return try_open("f", O_RDONLY); }));
  EXPECT_EQ(0, as_user({kBob.uid, kBob.gid, {kAlice.gid}}, [] { return try_open("f", O_RDONLY); }));
  EXPECT_EQ(EACCES, as_user({kBob.uid, kAlice.gid, {}}, [] { return try_open("f", O_WRONLY); }));
}

TEST_F(Permissions, DirectoriesNeedWriteToChangeAndExecuteToPass) {
  ASSERT_EQ(0, ::mkdir("d", 0700));
  ASSERT_EQ(0, ::chown("d", kAlice.uid, kAlice.gid));
  write_file("d/f", "x");
  ASSERT_EQ(0, ::chmod("d/f", 0666));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return try_open("d/f", O_RDONLY); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return try_open("d", O_RDONLY | O_DIRECTORY); }));
  ASSERT_EQ(0, ::chmod("d", 0711));
  EXPECT_EQ(0, as_user(kBob, [] { return try_open("d/f", O_RDONLY); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::unlink("d/f")); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::mkdir("d/x", 0777)); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::symlink("f", "d/x")); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::link("d/f", "d/x")); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::mkfifo("d/x", 0777)); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::rename("d/f", "d/x")); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return try_open("d/x", O_CREAT | O_RDWR); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::open("d", O_TMPFILE | O_RDWR, 0600)); }));
  ASSERT_EQ(0, ::chmod("d", 0722));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::unlink("d/f")); }));
  ASSERT_EQ(0, ::chmod("d", 0733));
  EXPECT_EQ(0, as_user(kBob, [] { return error_of(::unlink("d/f")); }));
  EXPECT_FALSE(exists("d/f"));
}

TEST_F(Permissions, OnlyTheOwnerChangesModeAndTimes) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  ASSERT_EQ(0, ::chmod("f", 0666));
  EXPECT_EQ(EPERM, as_user(kBob, [] { return error_of(::chmod("f", 0777)); }));
  EXPECT_EQ(0, as_user(kAlice, [] { return error_of(::chmod("f", 0622)); }));
  EXPECT_EQ(0622U, mode_of("f"));
  const timespec times[2] = {{100, 1}, {200, 2}};
  EXPECT_EQ(EPERM, as_user(kBob, [&] { return error_of(::utimensat(AT_FDCWD, "f", times, 0)); }));
  EXPECT_EQ(0, as_user(kBob, [] { return error_of(::utimensat(AT_FDCWD, "f", nullptr, 0)); }));
  EXPECT_EQ(0, as_user(kAlice, [&] { return error_of(::utimensat(AT_FDCWD, "f", times, 0)); }));
  ASSERT_EQ(0, ::chmod("f", 0600));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::utimensat(AT_FDCWD, "f", nullptr, 0)); }));
}

TEST_F(Permissions, OwnershipIsRootsToGiveButGroupsAreTheOwners) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  const User alice{kAlice.uid, kAlice.gid, {30001}};
  EXPECT_EQ(EPERM, as_user(alice, [] { return error_of(::chown("f", kBob.uid, -1)); }));
  EXPECT_EQ(EPERM, as_user(alice, [] { return error_of(::chown("f", -1, kBob.gid)); }));
  EXPECT_EQ(0, as_user(alice, [] { return error_of(::chown("f", -1, 30001)); }));
  EXPECT_EQ(EPERM, as_user(kBob, [] { return error_of(::chown("f", kBob.uid, kBob.gid)); }));
  EXPECT_EQ(30001U, stat_of("f").st_gid);
  EXPECT_EQ(kAlice.uid, stat_of("f").st_uid);
  EXPECT_EQ(0, ::chown("f", kBob.uid, kBob.gid));
  EXPECT_EQ(kBob.uid, stat_of("f").st_uid);
  ASSERT_EQ(0, ::symlink("f", "l"));
  EXPECT_EQ(0, ::lchown("l", 7, 8));
  EXPECT_EQ(7U, lstat_of("l").st_uid);
  EXPECT_EQ(kBob.uid, stat_of("f").st_uid);
}

TEST_F(Permissions, StickyDirectoriesProtectTheFilesOfOthers) {
  ASSERT_EQ(0, ::mkdir("d", 0777));
  ASSERT_EQ(0, ::chmod("d", 01777));
  ASSERT_EQ(01777U, mode_of("d"));
  write_file("d/alices", "x");
  ASSERT_EQ(0, ::mkdir("d/alices-dir", 0777));
  ASSERT_EQ(0, ::chown("d/alices", kAlice.uid, kAlice.gid));
  ASSERT_EQ(0, ::chown("d/alices-dir", kAlice.uid, kAlice.gid));
  ASSERT_EQ(0, ::chmod("d/alices", 0666));
  EXPECT_EQ(EPERM, as_user(kBob, [] { return error_of(::unlink("d/alices")); }));
  EXPECT_EQ(EPERM, as_user(kBob, [] { return error_of(::rename("d/alices", "d/bobs")); }));
  EXPECT_EQ(EPERM, as_user(kBob, [] { return error_of(::rmdir("d/alices-dir")); }));
  EXPECT_EQ(EPERM, as_user(kBob, [] {
              const int fd = ::open("d/mine", O_CREAT | O_WRONLY, 0666);
              if (fd < 0) return errno;
              return error_of(::rename("d/mine", "d/alices"));
            }));
  EXPECT_EQ(0, as_user(kAlice, [] { return error_of(::rename("d/alices", "d/still-alices")); }));
  EXPECT_EQ(0, as_user(kAlice, [] { return error_of(::unlink("d/still-alices")); }));
  ASSERT_EQ(0, ::chown("d", kBob.uid, kBob.gid));
  EXPECT_EQ(0, as_user(kBob, [] { return error_of(::rmdir("d/alices-dir")); }));
}

TEST_F(Permissions, SetGidDirectoriesHandDownTheirGroup) {
  ASSERT_EQ(0, ::mkdir("d", 0777));
  ASSERT_EQ(0, ::chown("d", kBob.uid, 30002));
  ASSERT_EQ(0, ::chmod("d", 02777));
  ASSERT_EQ(0, as_user(kAlice, [] {
              ::umask(0);
              if (::mkdir("d/sub", 0755) < 0 || ::mkfifo("d/fifo", 0644) < 0) return errno;
              if (::symlink("x", "d/link") < 0) return errno;
              const int fd = ::open("d/file", O_CREAT | O_WRONLY, 02775);
              return error_of(fd);
            }));
  EXPECT_EQ(30002U, stat_of("d/sub").st_gid);
  EXPECT_EQ(02755U, mode_of("d/sub"));
  EXPECT_EQ(30002U, stat_of("d/file").st_gid);
  EXPECT_EQ(0775U, mode_of("d/file")) << "not in the group: no set-gid, executable";
  EXPECT_EQ(30002U, stat_of("d/fifo").st_gid);
  EXPECT_EQ(30002U, lstat_of("d/link").st_gid);
  EXPECT_EQ(kAlice.uid, stat_of("d/file").st_uid);
  ASSERT_EQ(0, ::mkdir("plain", 0777));
  ASSERT_EQ(0, ::chmod("plain", 0777));
  ASSERT_EQ(0, as_user(kAlice, [] { return error_of(::mkdir("plain/sub", 0755)); }));
  EXPECT_EQ(kAlice.gid, stat_of("plain/sub").st_gid);
  EXPECT_EQ(0755U, mode_of("plain/sub"));
}

TEST_F(Permissions, ChmodByNonMembersDropsSetGid) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, 30003));
  ASSERT_EQ(0, as_user(kAlice, [] { return error_of(::chmod("f", 02755)); }));
  EXPECT_EQ(0755U, mode_of("f"));
  ASSERT_EQ(
      0, as_user({kAlice.uid, kAlice.gid, {30003}}, [] { return error_of(::chmod("f", 02755)); }));
  EXPECT_EQ(02755U, mode_of("f"));
  ASSERT_EQ(0, ::chmod("f", 06711));
  EXPECT_EQ(06711U, mode_of("f"));
}

class DropsSetId : public Permissions {
 protected:
  // The mode left after `change` by somebody who is not root.
  static mode_t after(mode_t before, const std::function<int()>& change) {
    ::unlink("f");
    write_file("f", "hello, world");
    EXPECT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
    EXPECT_EQ(0, ::chmod("f", before));
    EXPECT_EQ(0, as_user(kBob, change));
    return mode_of("f");
  }
};

TEST_F(DropsSetId, OnWriteTruncateAndFallocate) {
  const auto write_byte = [] {
    const int fd = ::open("f", O_WRONLY);
    return error_of(fd < 0 ? fd : ::write(fd, "y", 1));
  };
  EXPECT_EQ(0777U, after(06777, write_byte));
  EXPECT_EQ(0777U, after(04777, write_byte));
  EXPECT_EQ(0777U, after(02777, write_byte));
  EXPECT_EQ(0766U, after(04766, write_byte));
  EXPECT_EQ(0777U, after(06777, [] { return error_of(::truncate("f", 3)); }));
  EXPECT_EQ(0777U, after(06777, [] { return error_of(::truncate("f", 300000)); }));
  EXPECT_EQ(0777U, after(06777, [] {
              const int fd = ::open("f", O_WRONLY | O_TRUNC);
              return error_of(fd);
            }));
  EXPECT_EQ(0777U, after(06777, [] {
              const int fd = ::open("f", O_WRONLY);
              return error_of(fd < 0 ? fd : ::fallocate(fd, 0, 0, 65536));
            }));
}

TEST_F(DropsSetId, ButRootKeepsThemOnWrite) {
  write_file("f", "hello");
  ASSERT_EQ(0, ::chmod("f", 06777));
  write_file("g", "hello");
  const Fd fd(::open("f", O_WRONLY));
  ASSERT_EQ(1, ::write(fd, "y", 1));
  EXPECT_EQ(06777U, mode_of("f"));
}

TEST_F(DropsSetId, OnChown) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chmod("f", 06755));
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  EXPECT_EQ(0755U, mode_of("f"));
  ASSERT_EQ(0, ::chmod("f", 02745));
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  EXPECT_EQ(02745U, mode_of("f") & 02777) << "mandatory locking bit of old";
  ASSERT_EQ(0, ::mkdir("d", 0755));
  ASSERT_EQ(0, ::chmod("d", 06755));
  ASSERT_EQ(0, ::chown("d", kAlice.uid, kAlice.gid));
  EXPECT_EQ(06755U, mode_of("d")) << "directories keep them";
}

TEST_F(DropsSetId, FileCapabilitiesGoWithTheContent) {
  // Version 2, effective, CAP_NET_RAW permitted (see capability.h).
  const std::array<std::uint32_t, 5> caps{0x02000001, 1U << 13, 0, 0, 0};
  const auto has = [] { return ::getxattr("f", "security.capability", nullptr, 0) > 0; };
  const auto give = [&] {
    return ::setxattr("f", "security.capability", caps.data(), sizeof caps, 0);
  };
  write_file("f", "hello");
  ASSERT_EQ(0, ::chmod("f", 0777));
  if (give() < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "no file capabilities here";
  ASSERT_TRUE(has());
  EXPECT_EQ(0, as_user(kBob, [] {
              const int fd = ::open("f", O_WRONLY);
              return error_of(fd < 0 ? fd : ::write(fd, "y", 1));
            }));
  EXPECT_FALSE(has());
  ASSERT_EQ(0, give());
  {
    const Fd fd(::open("f", O_WRONLY));
    ASSERT_EQ(1, ::write(fd, "y", 1));
  }
  EXPECT_FALSE(has()) << "root's writes too";
  ASSERT_EQ(0, give());
  ASSERT_EQ(0, ::truncate("f", 2));
  EXPECT_FALSE(has());
  ASSERT_EQ(0, give());
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  EXPECT_FALSE(has());
  ASSERT_EQ(0, give());
  ASSERT_EQ(0, ::chmod("f", 0700));
  EXPECT_TRUE(has());
}

TEST_F(Permissions, UmaskApplies) {
  const auto made = [](mode_t mask, mode_t mode) {
    ::umask(mask);
    ::unlink("f");
    ::close(::open("f", O_CREAT | O_WRONLY, mode));
    ::umask(022);
    return mode_of("f");
  };
  EXPECT_EQ(0644U, made(022, 0666));
  EXPECT_EQ(0600U, made(077, 0777) & 0666);
  EXPECT_EQ(0U, made(0777, 0777));
  EXPECT_EQ(04755U, made(022, 04777));
  EXPECT_EQ(0777U, made(0, 0777));
}

TEST_F(Permissions, AccessTellsTheTruth) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chmod("f", 0640));
  EXPECT_EQ(0, error_of(::access("f", R_OK | W_OK)));
  EXPECT_EQ(EACCES, error_of(::access("f", X_OK))) << "nobody may execute it, root neither";
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::access("f", R_OK)); }));
  ASSERT_EQ(0, ::chmod("f", 0641));
  EXPECT_EQ(0, error_of(::access("f", X_OK)));
}

TEST_F(Permissions, ProgramsRun) {
  write_file("run", "#!/bin/sh\nexit 42\n");
  ASSERT_EQ(0, ::chmod("run", 0755));
  EXPECT_EQ(42, in_child([] {
              ::execl("./run", "./run", nullptr);
              return errno;
            }));
  ASSERT_EQ(0, ::chmod("run", 0644));
  EXPECT_EQ(EACCES, in_child([] {
              ::execl("./run", "./run", nullptr);
              return errno;
            }));
}

}  // namespace
}  // namespace projfs::posix
