// SPDX-License-Identifier: MIT
//
// How long the kernel may believe what it is told of snapshots, and what it is told.
#include <fcntl.h>

#include "support/fake_snapshots.h"
#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

constexpr std::uint64_t kLong = 86400;

class SnapshotsTest : public ::testing::Test {
 protected:
  SnapshotsTest() {
    file = head->mknod(kRootIno, "f", S_IFREG | 0644, 0, Caller{})->ino;
    EXPECT_EQ(old->mknod(kRootIno, "f", S_IFREG | 0644, 0, Caller{})->ino, file);
    EXPECT_TRUE(old->write(file, 0, as_bytes("old"), false));
    snapshots->add("a", old);
    EXPECT_TRUE(server.start());
    const auto unique = kernel.send(FUSE_INIT, 0, FakeKernel::init_of_linux_6_18());
    MountSpec spec;
    spec.id = "p";
    spec.volume = std::make_shared<snapshot::SnapshotTree>(
        head, snapshots, []() -> Result<std::string> { return std::string("status"); });
    EXPECT_TRUE(server.attach(spec, kernel.server_end()));
    kernel.answer_to(unique);
  }

  fuse_entry_out lookup(Ino parent, std::string_view name) {
    const auto answer = kernel.call(FUSE_LOOKUP, parent, zero_ended(name));
    EXPECT_EQ(answer.error, 0) << name;
    return answer.as<fuse_entry_out>();
  }

  Ino file = 0;
  std::shared_ptr<MemoryVolume> head = std::make_shared<MemoryVolume>();
  std::shared_ptr<MemoryVolume> old = std::make_shared<MemoryVolume>();
  std::shared_ptr<testing::FakeSnapshots> snapshots = std::make_shared<testing::FakeSnapshots>();
  FakeKernel kernel;
  ServerImpl server{{.workers = 2}};
};

TEST_F(SnapshotsTest, TheDirectoryIsAskedAboutEachTimeItsContentNeverAgain) {
  const auto all = lookup(kRootIno, ".snapshots");
  EXPECT_GT(all.entry_valid, kLong) << "it is always there";
  EXPECT_EQ(all.attr_valid, 0u) << "its times say when the listing changed";
  const auto attr =
      kernel.call(FUSE_GETATTR, all.nodeid, packed(fuse_getattr_in{})).as<fuse_attr_out>();
  EXPECT_EQ(attr.attr_valid, 0u);
  const auto a = lookup(all.nodeid, "a");
  EXPECT_EQ(a.entry_valid, 0u) << "it may be deleted, and the name used again";
  EXPECT_GT(a.attr_valid, kLong);
  const auto f = lookup(a.nodeid, "f");
  EXPECT_GT(f.entry_valid, kLong);
  EXPECT_GT(f.attr_valid, kLong);
  EXPECT_EQ(f.nodeid, NodeId::view(a.nodeid) | file);
  EXPECT_EQ(f.attr.ino, f.nodeid) << "diff takes files with one inode number for one file";
  const auto nothing = lookup(a.nodeid, "nothing");
  EXPECT_EQ(nothing.nodeid, 0u);
  EXPECT_GT(nothing.entry_valid, kLong);
}

TEST_F(SnapshotsTest, StatxKeepsToTheSameTimes) {
  const auto all = lookup(kRootIno, ".snapshots").nodeid;
  EXPECT_EQ(kernel.call(kOpStatx, all, packed(StatxIn{})).as<StatxOut>().attr_valid, 0u);
  const auto a = lookup(all, "a").nodeid;
  EXPECT_GT(kernel.call(kOpStatx, a, packed(StatxIn{})).as<StatxOut>().attr_valid, kLong);
}

TEST_F(SnapshotsTest, AbsentSnapshotsAreNotRemembered) {
  const auto all = lookup(kRootIno, ".snapshots").nodeid;
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, all, zero_ended("b")).error, ENOENT);
}

TEST_F(SnapshotsTest, ListingsDoNotMakeEntriesLastLonger) {
  const auto all = lookup(kRootIno, ".snapshots").nodeid;
  fuse_read_in in{};
  in.size = 4096;
  in.offset = 2;
  const auto answer = kernel.call(FUSE_READDIRPLUS, all, packed(in));
  ASSERT_EQ(answer.error, 0);
  const auto listed = answer.as<fuse_direntplus>();
  EXPECT_EQ(listed.dirent.namelen, 1u);
  EXPECT_EQ(listed.entry_out.entry_valid, 0u);
  EXPECT_GT(listed.entry_out.attr_valid, kLong);
}

TEST_F(SnapshotsTest, MkdirAndRmdir) {
  const auto all = lookup(kRootIno, ".snapshots").nodeid;
  fuse_mkdir_in in{};
  in.mode = 0777;
  EXPECT_EQ(kernel.call(FUSE_MKDIR, all, packed(in) + zero_ended("b"), {5, 5}).error, EPERM);
  const auto made = kernel.call(FUSE_MKDIR, all, packed(in) + zero_ended("b"));
  ASSERT_EQ(made.error, 0);
  EXPECT_EQ(made.as<fuse_entry_out>().entry_valid, 0u);
  EXPECT_EQ(made.as<fuse_entry_out>().nodeid, lookup(all, "b").nodeid);
  EXPECT_EQ(kernel.call(FUSE_RMDIR, all, zero_ended("b")).error, 0);
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, all, zero_ended("b")).error, ENOENT);
}

TEST_F(SnapshotsTest, WritesInsideFail) {
  const auto a = lookup(lookup(kRootIno, ".snapshots").nodeid, "a").nodeid;
  const auto f = lookup(a, "f").nodeid;
  fuse_write_in in{};
  in.size = 1;
  EXPECT_EQ(kernel.call(FUSE_WRITE, f, packed(in) + "x").error, EROFS);
  fuse_setattr_in set{};
  set.valid = FATTR_SIZE;
  EXPECT_EQ(kernel.call(FUSE_SETATTR, f, packed(set)).error, EROFS);
  EXPECT_EQ(kernel.call(FUSE_UNLINK, a, zero_ended("f")).error, EROFS);
  fuse_read_in read{};
  read.size = 100;
  EXPECT_EQ(kernel.call(FUSE_READ, f, packed(read)).body, "old");
}

// The state may have grown by a digit between asking for its length and asking for it.
TEST_F(SnapshotsTest, TheStatusLeavesRoomToGrow) {
  const std::string name = zero_ended("user.projfs.status");
  const auto length =
      kernel.call(FUSE_GETXATTR, 1, packed(fuse_getxattr_in{}) + name).as<fuse_getxattr_out>().size;
  EXPECT_GT(length, 6u);
  fuse_getxattr_in in{};
  in.size = length;
  EXPECT_EQ(kernel.call(FUSE_GETXATTR, 1, packed(in) + name).body, "status");
}

}  // namespace
}  // namespace projfs::fuse
