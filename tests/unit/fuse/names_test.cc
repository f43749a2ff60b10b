// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/fs.h>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

class NamesTest : public EdgeTest {};

TEST_F(NamesTest, LookupTellsAttributesForLong) {
  const Ino ino = make("a");
  const auto answer = kernel.call(FUSE_LOOKUP, 1, zero_ended("a"));
  ASSERT_EQ(answer.error, 0);
  const auto entry = answer.as<fuse_entry_out>();
  EXPECT_EQ(entry.nodeid, ino);
  EXPECT_EQ(entry.attr.mode, S_IFREG | 0644u);
  EXPECT_GT(entry.entry_valid, 86400u);
  EXPECT_GT(entry.attr_valid, 86400u);
}

TEST_F(NamesTest, AbsentNamesAreRememberedToo) {
  const auto answer = kernel.call(FUSE_LOOKUP, 1, zero_ended("nobody"));
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, 0u);
  EXPECT_GT(answer.as<fuse_entry_out>().entry_valid, 86400u);
}

TEST_F(NamesTest, OtherLookupErrorsAreErrors) {
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, make("file"), zero_ended("x")).error, ENOTDIR);
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, 1, zero_ended(std::string(300, 'x'))).error, ENAMETOOLONG);
}

TEST_F(NamesTest, MknodAppliesUmaskAndOwner) {
  fuse_mknod_in in{};
  in.mode = S_IFREG | 0666;
  in.umask = 027;
  const auto answer = kernel.call(FUSE_MKNOD, 1, packed(in) + zero_ended("n"), {7, 8});
  ASSERT_EQ(answer.error, 0);
  const auto entry = answer.as<fuse_entry_out>();
  EXPECT_EQ(entry.attr.mode, S_IFREG | 0640u);
  EXPECT_EQ(entry.attr.uid, 7u);
  EXPECT_EQ(entry.attr.gid, 8u);
  EXPECT_EQ(kernel.call(FUSE_MKNOD, 1, packed(in) + zero_ended("n")).error, EEXIST);
}

TEST_F(NamesTest, MknodOfADevice) {
  fuse_mknod_in in{};
  in.mode = S_IFCHR | 0600;
  in.rdev = 0x0501;
  const auto answer = kernel.call(FUSE_MKNOD, 1, packed(in) + zero_ended("tty"));
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().attr.rdev, 0x0501u);
}

TEST_F(NamesTest, MkdirRmdir) {
  fuse_mkdir_in in{};
  in.mode = 0777;
  in.umask = 022;
  const auto answer = kernel.call(FUSE_MKDIR, 1, packed(in) + zero_ended("d"));
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().attr.mode, S_IFDIR | 0755u);
  make("inside", S_IFREG | 0600, answer.as<fuse_entry_out>().nodeid);
  EXPECT_EQ(kernel.call(FUSE_RMDIR, 1, zero_ended("d")).error, ENOTEMPTY);
  EXPECT_EQ(
      kernel.call(FUSE_UNLINK, answer.as<fuse_entry_out>().nodeid, zero_ended("inside")).error, 0);
  EXPECT_EQ(kernel.call(FUSE_RMDIR, 1, zero_ended("d")).error, 0);
  EXPECT_EQ(kernel.call(FUSE_RMDIR, 1, zero_ended("d")).error, ENOENT);
}

TEST_F(NamesTest, SymlinkReadlink) {
  const auto made = kernel.call(FUSE_SYMLINK, 1, zero_ended("s") + zero_ended("to/there"));
  ASSERT_EQ(made.error, 0);
  const auto node = made.as<fuse_entry_out>().nodeid;
  EXPECT_EQ(made.as<fuse_entry_out>().attr.size, 8u);
  EXPECT_EQ(kernel.call(FUSE_READLINK, node).body, "to/there");
  EXPECT_EQ(kernel.call(FUSE_READLINK, make("plain")).error, EINVAL);
}

TEST_F(NamesTest, LinkCountsInItsAnswer) {
  fuse_link_in in{};
  in.oldnodeid = make("a");
  const auto answer = kernel.call(FUSE_LINK, 1, packed(in) + zero_ended("b"));
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().attr.nlink, 2u);
  EXPECT_EQ(kernel.call(FUSE_LINK, 1, packed(in) + zero_ended("b")).error, EEXIST);
}

TEST_F(NamesTest, RenameWithAndWithoutFlags) {
  const Ino a = make("a"), b = make("b");
  fuse_rename2_in in{};
  in.newdir = 1;
  in.flags = RENAME_NOREPLACE;
  const std::string names = zero_ended("a") + zero_ended("b");
  EXPECT_EQ(kernel.call(FUSE_RENAME2, 1, packed(in) + names).error, EEXIST);
  in.flags = RENAME_EXCHANGE;
  EXPECT_EQ(kernel.call(FUSE_RENAME2, 1, packed(in) + names).error, 0);
  EXPECT_EQ(volume->lookup(1, "a")->ino, b);
  in.flags = RENAME_WHITEOUT;
  EXPECT_EQ(kernel.call(FUSE_RENAME2, 1, packed(in) + names).error, EINVAL);
  fuse_rename_in plain{};
  plain.newdir = 1;
  EXPECT_EQ(kernel.call(FUSE_RENAME, 1, packed(plain) + names).error, 0);
  EXPECT_EQ(volume->lookup(1, "b")->ino, b);
  EXPECT_EQ(volume->lookup(1, "a").error().code, ENOENT);
  EXPECT_NE(a, b);
}

// ENOSYS makes the kernel use LOOKUP and MKNOD for good.
TEST_F(NamesTest, CreateIsTurnedOff) {
  fuse_create_in in{};
  in.flags = O_CREAT | O_RDWR;
  in.mode = S_IFREG | 0644;
  EXPECT_EQ(kernel.call(FUSE_CREATE, 1, packed(in) + zero_ended("c")).error, ENOSYS);
  EXPECT_EQ(volume->lookup(1, "c").error().code, ENOENT);
}

TEST_F(NamesTest, TmpfileHasNoNameUntilLinked) {
  fuse_create_in in{};
  in.flags = O_TMPFILE | O_RDWR;
  in.mode = S_IFREG | 0600;
  const auto made = kernel.call(FUSE_TMPFILE, 1, packed(in) + zero_ended("/"), {5, 6});
  ASSERT_EQ(made.error, 0);
  ASSERT_EQ(made.body.size(), sizeof(fuse_entry_out) + sizeof(fuse_open_out));
  const auto entry = made.as<fuse_entry_out>();
  EXPECT_EQ(entry.attr.nlink, 0u);
  EXPECT_EQ(entry.attr.uid, 5u);
  EXPECT_EQ(entry.attr.mode, S_IFREG | 0600u);
  fuse_link_in link{};
  link.oldnodeid = entry.nodeid;
  EXPECT_EQ(kernel.call(FUSE_LINK, 1, packed(link) + zero_ended("named")).error, 0);
  EXPECT_EQ(kernel.call(FUSE_TMPFILE, make("file"), packed(in) + zero_ended("/")).error, ENOTDIR);
}

TEST_F(NamesTest, UnlinkedInodesLiveUntilTheKernelHasGone) {
  const Ino ino = make("a");
  const auto before = volume->inodes();
  EXPECT_EQ(kernel.call(FUSE_UNLINK, 1, zero_ended("a")).error, 0);
  EXPECT_EQ(volume->inodes(), before);
  // This kernel says of every inode that it knows it.
  kernel.send(FUSE_FORGET, ino, packed(fuse_forget_in{1}));
  EXPECT_EQ(
      kernel.call(FUSE_GETATTR, ino, packed(fuse_getattr_in{})).as<fuse_attr_out>().attr.nlink, 0u);
  kernel.hang_up();
  while (volume->has_kernel_view()) std::this_thread::yield();
  EXPECT_EQ(volume->inodes(), before - 1);
}

TEST_F(NamesTest, ForgetsReachTheVolumeEachAndAreNotAnswered) {
  std::atomic<unsigned> forgotten = 0;
  volume->set_hook([&](std::string_view operation, Ino) -> Status {
    if (operation == "forget") ++forgotten;
    return {};
  });
  fuse_batch_forget_in in{};
  in.count = 2;
  const auto unique =
      kernel.send(FUSE_BATCH_FORGET, 0,
                  packed(in) + packed(fuse_forget_one{5, 1}) + packed(fuse_forget_one{6, 1}));
  const auto single = kernel.send(FUSE_FORGET, 7, packed(fuse_forget_in{1}));
  while (forgotten < 3) std::this_thread::yield();
  EXPECT_EQ(kernel.call(FUSE_GETATTR, 1, packed(fuse_getattr_in{})).error, 0);
  EXPECT_FALSE(kernel.has_answered(unique));
  EXPECT_FALSE(kernel.has_answered(single));
}

}  // namespace
}  // namespace projfs::fuse
