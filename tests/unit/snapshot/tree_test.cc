// SPDX-License-Identifier: MIT
#include "snapshot/tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "support/fake_snapshots.h"

namespace projfs::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const Caller kRoot;
const Caller kOwner{.uid = 7, .gid = 7, .umask = 022, .privileged = false};
const Caller kStranger{.uid = 8, .gid = 8, .umask = 022, .privileged = false};

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

// d/ with the file f in it, in the head and in "first"; e/ in the head and in "second" only.
class TreeTest : public ::testing::Test {
 protected:
  TreeTest() {
    AttrChange owner;
    owner.uid = kOwner.uid;
    EXPECT_TRUE(head->setattr(kRootIno, owner, kRoot));
    first = snapshots->add("first", filled("old", false));
    second = snapshots->add("second", filled("older", true));
  }

  std::shared_ptr<testing::MemoryVolume> filled(std::string_view content, bool with_e) {
    auto volume = std::make_shared<testing::MemoryVolume>();
    fill(*volume, content, with_e);
    return volume;
  }
  void fill(Volume& volume, std::string_view content, bool with_e) {
    d = volume.mkdir(kRootIno, "d", 0755, kRoot)->ino;
    f = volume.mknod(d, "f", S_IFREG | 0644, 0, kRoot)->ino;
    EXPECT_TRUE(volume.write(f, 0, as_bytes(content), false));
    EXPECT_TRUE(volume.setxattr(f, "user.colour", "red", 0, false));
    if (with_e) e = volume.mkdir(kRootIno, "e", 0700, kRoot)->ino;
  }

  std::vector<std::string> names(Ino dir, std::uint64_t cookie = 0, bool want_attr = false) {
    std::vector<std::string> out;
    EXPECT_TRUE(tree.readdir(dir, cookie, want_attr, [&](const DirEntry& entry, const Attr* attr) {
      EXPECT_TRUE(attr == nullptr || attr->ino == entry.ino);
      out.emplace_back(entry.name);
      return true;
    }));
    return out;
  }
  Ino snapshots_of(Ino dir) {
    const auto found = tree.lookup(dir, ".snapshots");
    EXPECT_TRUE(found);
    return found ? found->ino : 0;
  }
  Ino walk(Ino from, std::initializer_list<std::string_view> path) {
    for (const auto name : path) {
      const auto found = tree.lookup(from, name);
      EXPECT_TRUE(found) << name;
      if (!found) return 0;
      from = found->ino;
    }
    return from;
  }
  std::string content(Ino ino) {
    std::string out(100, '\0');
    const auto n = tree.read(ino, 0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    EXPECT_TRUE(n);
    out.resize(n.value_or(0));
    return out;
  }

  Ino d = 0, e = 0, f = 0;
  std::shared_ptr<testing::MemoryVolume> head = filled("new", true);
  std::shared_ptr<testing::FakeSnapshots> snapshots = std::make_shared<testing::FakeSnapshots>();
  std::uint64_t first = 0, second = 0;
  std::string status = "{\"id\":\"p\"}";
  SnapshotTree tree{head, snapshots, [this]() -> Result<std::string> { return status; }};
};

TEST(NodeId, NamesWhatItIsMadeOf) {
  constexpr Ino kNode = NodeId::view_of(kMaxSnapshotNumber, true) | kMaxInode;
  static_assert(NodeId::inode(kNode) == kMaxInode);
  static_assert(NodeId::snapshot(kNode) == kMaxSnapshotNumber);
  static_assert(!NodeId::is_snapshots_directory(kNode));
  static_assert(!NodeId::is_head(kNode));
  static_assert(NodeId::is_head(kMaxInode));
  static_assert(NodeId::view(kNode) == NodeId::view_of(kMaxSnapshotNumber, true));
  static_assert(!NodeId::is_head(NodeId::snapshots_directory_of(kRootIno)));
  static_assert(NodeId::inode(NodeId::snapshots_directory_of(77)) == 77);
}

TEST_F(TreeTest, EveryDirectoryHasItAndNoneListsIt) {
  for (const Ino dir : {kRootIno, d, e}) {
    const auto found = tree.lookup(dir, ".snapshots");
    ASSERT_TRUE(found);
    EXPECT_TRUE(S_ISDIR(found->mode));
    EXPECT_EQ(found->uid, kOwner.uid) << "so that the kernel lets the owner make snapshots";
    EXPECT_EQ(found->mode & 07777, 0755u);
    EXPECT_NE(found->nlink, 2u) << "two would mean that there are no directories in it";
    EXPECT_EQ(tree.getattr(found->ino)->ino, found->ino);
    EXPECT_THAT(names(dir), ::testing::Not(::testing::Contains(".snapshots")));
  }
  EXPECT_EQ(error_of(tree.lookup(f, ".snapshots")), ENOTDIR);
}

TEST_F(TreeTest, TheRootsListsAllInTheOrderOfTheirMaking) {
  EXPECT_THAT(names(snapshots_of(kRootIno)), ElementsAre(".", "..", "first", "second"));
  EXPECT_THAT(names(snapshots_of(kRootIno), 0, true), ElementsAre(".", "..", "first", "second"));
  EXPECT_EQ(error_of(tree.lookup(snapshots_of(kRootIno), "third")), ENOENT);
}

TEST_F(TreeTest, ADirectorysListsThoseItWasIn) {
  EXPECT_THAT(names(snapshots_of(d)), ElementsAre(".", "..", "first", "second"));
  EXPECT_THAT(names(snapshots_of(e)), ElementsAre(".", "..", "second"));
  EXPECT_EQ(error_of(tree.lookup(snapshots_of(e), "first")), ENOENT);
}

TEST_F(TreeTest, ListingsResumeWhateverComesAndGoes) {
  const Ino all = snapshots_of(kRootIno);
  std::uint64_t cookie = 0;
  EXPECT_TRUE(tree.readdir(all, 0, false, [&](const DirEntry& entry, const Attr*) {
    cookie = entry.next_cookie;
    return entry.name != "first";
  }));
  ASSERT_TRUE(snapshots->remove("first"));
  snapshots->add("third", filled("x", false));
  EXPECT_THAT(names(all, cookie), ElementsAre("second", "third"));
}

TEST_F(TreeTest, SnapshotsAreReadThroughTheirNodeIds) {
  EXPECT_EQ(content(walk(kRootIno, {".snapshots", "first", "d", "f"})), "old");
  EXPECT_EQ(content(walk(kRootIno, {".snapshots", "second", "d", "f"})), "older");
  EXPECT_EQ(content(walk(d, {".snapshots", "first", "f"})), "old");
  EXPECT_EQ(content(f), "new");
  const Ino old = walk(kRootIno, {".snapshots", "first", "d", "f"});
  EXPECT_EQ(old, NodeId::view_of(first, false) | f) << "low bits are those of the head";
  EXPECT_EQ(tree.getattr(old)->ino, old);
  EXPECT_EQ(tree.getattr(old)->size, 3u);
  EXPECT_EQ(*tree.getxattr(old, "user.colour"), "red");
  EXPECT_THAT(*tree.listxattr(old), ElementsAre("user.colour"));
  EXPECT_THAT(names(walk(kRootIno, {".snapshots", "second"})),
              UnorderedElementsAre(".", "..", "d", "e"));
}

// A kernel knows a directory by one path only.
TEST_F(TreeTest, TheWayThroughADirectoryHasNodesOfItsOwn) {
  const Ino from_root = walk(kRootIno, {".snapshots", "first", "d"});
  const Ino from_d = walk(d, {".snapshots", "first"});
  EXPECT_NE(from_root, from_d);
  EXPECT_EQ(NodeId::inode(from_root), NodeId::inode(from_d));
  EXPECT_NE(walk(from_root, {"f"}), walk(from_d, {"f"}));
  std::vector<Ino> listed;
  EXPECT_TRUE(tree.readdir(from_d, 2, true, [&](const DirEntry& entry, const Attr* attr) {
    EXPECT_EQ(attr->ino, entry.ino);
    listed.push_back(entry.ino);
    return true;
  }));
  EXPECT_THAT(listed, ElementsAre(walk(from_d, {"f"})));
}

TEST_F(TreeTest, NothingInsideCanBeChanged) {
  const Ino dir = walk(kRootIno, {".snapshots", "first", "d"}), file = walk(dir, {"f"});
  EXPECT_EQ(error_of(tree.mknod(dir, "x", S_IFREG | 0644, 0, kRoot)), EROFS);
  EXPECT_EQ(error_of(tree.mkdir(dir, "x", 0755, kRoot)), EROFS);
  EXPECT_EQ(error_of(tree.symlink(dir, "x", "y", kRoot)), EROFS);
  EXPECT_EQ(error_of(tree.tmpfile(dir, S_IFREG | 0600, kRoot)), EROFS);
  EXPECT_EQ(error_of(tree.link(f, dir, "x")), EROFS);
  EXPECT_EQ(error_of(tree.unlink(dir, "f")), EROFS);
  EXPECT_EQ(error_of(tree.rmdir(walk(kRootIno, {".snapshots", "first"}), "d")), EROFS);
  EXPECT_EQ(error_of(tree.rename(dir, "f", dir, "g", 0)), EROFS);
  EXPECT_EQ(error_of(tree.rename(dir, "f", d, "g", 0)), EROFS);
  EXPECT_EQ(error_of(tree.rename(d, "f", dir, "g", 0)), EROFS);
  EXPECT_EQ(error_of(tree.setattr(file, {.mode = 0600}, kRoot)), EROFS);
  EXPECT_EQ(error_of(tree.setxattr(file, "user.x", "y", 0, false)), EROFS);
  EXPECT_EQ(error_of(tree.removexattr(file, "user.colour")), EROFS);
  EXPECT_EQ(error_of(tree.write(file, 0, as_bytes("x"), false)), EROFS);
  EXPECT_EQ(error_of(tree.fallocate(file, 0, 0, 1)), EROFS);
  EXPECT_EQ(error_of(tree.copy_range(f, 0, file, 0, 1)), EROFS);
  EXPECT_EQ(error_of(tree.link(file, d, "x")), EXDEV);
  EXPECT_EQ(error_of(tree.lookup(dir, ".snapshots")), ENOENT) << "no snapshots in snapshots";
  EXPECT_EQ(content(file), "old");
}

TEST_F(TreeTest, TheNameIsReserved) {
  for (const Ino dir : {kRootIno, d}) {
    EXPECT_EQ(error_of(tree.mknod(dir, ".snapshots", S_IFREG | 0644, 0, kRoot)), EEXIST);
    EXPECT_EQ(error_of(tree.mkdir(dir, ".snapshots", 0755, kRoot)), EEXIST);
    EXPECT_EQ(error_of(tree.symlink(dir, ".snapshots", "y", kRoot)), EEXIST);
    EXPECT_EQ(error_of(tree.link(f, dir, ".snapshots")), EEXIST);
    EXPECT_EQ(error_of(tree.rename(d, "f", dir, ".snapshots", 0)), EEXIST);
    EXPECT_EQ(error_of(tree.rename(dir, ".snapshots", dir, "x", 0)), EPERM);
    EXPECT_EQ(error_of(tree.rmdir(dir, ".snapshots")), EPERM);
    EXPECT_EQ(error_of(tree.unlink(dir, ".snapshots")), EPERM);
  }
  const Ino it = snapshots_of(d);
  EXPECT_EQ(error_of(tree.mknod(it, "x", S_IFREG | 0644, 0, kRoot)), EPERM);
  EXPECT_EQ(error_of(tree.symlink(it, "x", "y", kRoot)), EPERM);
  EXPECT_EQ(error_of(tree.setattr(it, {.mode = 0777}, kRoot)), EPERM);
  EXPECT_EQ(error_of(tree.setxattr(it, "user.x", "y", 0, false)), EPERM);
  EXPECT_EQ(error_of(tree.unlink(it, "first")), EPERM);
  EXPECT_EQ(error_of(tree.read(it, 0, {})), EISDIR);
}

TEST_F(TreeTest, MkdirMakesASnapshotForOwnerAndRoot) {
  const Ino all = snapshots_of(kRootIno);
  const auto before = tree.getattr(all)->mtime;
  snapshots->next = filled("third", true);
  EXPECT_EQ(error_of(tree.mkdir(all, "third", 0777, kStranger)), EPERM);
  EXPECT_EQ(error_of(tree.lookup(all, "third")), ENOENT);
  const auto made = tree.mkdir(all, "third", 0777, kOwner);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->ino, walk(all, {"third"}));
  EXPECT_EQ(content(walk(made->ino, {"d", "f"})), "third");
  EXPECT_NE(tree.getattr(all)->mtime.tv_nsec, before.tv_nsec);
  EXPECT_EQ(error_of(tree.mkdir(all, "third", 0777, kRoot)), EEXIST);
  // From within a directory it is a snapshot of the whole project too.
  ASSERT_TRUE(tree.mkdir(snapshots_of(d), "fourth", 0777, kRoot));
  EXPECT_EQ(content(walk(kRootIno, {".snapshots", "fourth", "d", "f"})), "third");
  snapshots->refuse_creation = EDQUOT;
  EXPECT_EQ(error_of(tree.mkdir(all, "fifth", 0777, kRoot)), EDQUOT);
}

TEST_F(TreeTest, RmdirDeletesASnapshot) {
  const Ino file = walk(kRootIno, {".snapshots", "first", "d", "f"});
  ASSERT_TRUE(tree.rmdir(snapshots_of(kRootIno), "first"));
  EXPECT_EQ(error_of(tree.rmdir(snapshots_of(kRootIno), "first")), ENOENT);
  EXPECT_THAT(names(snapshots_of(kRootIno)), ElementsAre(".", "..", "second"));
  // Who still has something of it open is told so.
  EXPECT_EQ(error_of(tree.getattr(file)), ESTALE);
  EXPECT_EQ(error_of(tree.read(file, 0, {})), ESTALE);
}

TEST_F(TreeTest, RenameRenamesASnapshot) {
  const Ino all = snapshots_of(kRootIno);
  const Ino before = walk(all, {"first"});
  ASSERT_TRUE(tree.rename(all, "first", all, "renamed", 0));
  EXPECT_EQ(walk(all, {"renamed"}), before);
  EXPECT_EQ(error_of(tree.rename(all, "renamed", all, "second", RENAME_NOREPLACE)), EEXIST);
  EXPECT_EQ(error_of(tree.rename(all, "renamed", all, "second", RENAME_EXCHANGE)), EINVAL);
  EXPECT_EQ(error_of(tree.rename(all, "renamed", kRootIno, "x", 0)), EROFS);
  EXPECT_EQ(error_of(tree.rename(d, "f", all, "x", 0)), EROFS);
}

TEST_F(TreeTest, TheStatusIsAnAttributeOfDirectories) {
  const Ino old = walk(kRootIno, {".snapshots", "first"});
  for (const Ino dir : {kRootIno, d, snapshots_of(d), old}) {
    EXPECT_EQ(*tree.getxattr(dir, "user.projfs.status"), status);
    EXPECT_TRUE(tree.listxattr(dir)->empty()) << "and not listed";
  }
  EXPECT_EQ(*tree.getxattr(old, "user.projfs.snapshot"), "snapshot 1");
  EXPECT_EQ(error_of(tree.getxattr(d, "user.projfs.snapshot")), ENODATA);
  EXPECT_EQ(error_of(tree.getxattr(f, "user.projfs.status")), ENODATA);
  EXPECT_EQ(error_of(tree.getxattr(d, "user.projfs.other")), ENODATA);
  for (const Ino ino : {d, f}) {
    EXPECT_EQ(error_of(tree.setxattr(ino, "user.projfs.status", "x", 0, false)), EPERM);
    EXPECT_EQ(error_of(tree.removexattr(ino, "user.projfs.status")), EPERM);
  }
}

TEST_F(TreeTest, TheHeadIsHandedOn) {
  const auto made = tree.mknod(d, "new", S_IFREG | 0644, 0, kOwner);
  ASSERT_TRUE(made);
  EXPECT_TRUE(tree.write(made->ino, 0, as_bytes("12"), false));
  EXPECT_EQ(tree.getattr(made->ino)->size, 2u);
  EXPECT_TRUE(tree.rename(d, "new", e, "newer", 0));
  EXPECT_EQ(walk(kRootIno, {"e", "newer"}), made->ino);
  EXPECT_EQ(*tree.copy_range(f, 0, made->ino, 0, 3), 3u);
  EXPECT_EQ(content(made->ino), "new");
  EXPECT_TRUE(tree.fsync(made->ino, false));
  EXPECT_TRUE(tree.syncfs());
  EXPECT_TRUE(tree.unlink(e, "newer"));
  tree.forget(made->ino);
  EXPECT_EQ(head->inodes(), 4u);
  tree.forget(walk(kRootIno, {".snapshots", "first", "d", "f"}));
}

// What a kernel asks that was given a file handle.
TEST_F(TreeTest, NodesAreFoundByTheirNumberAlone) {
  const Ino all = snapshots_of(d), old = walk(kRootIno, {".snapshots", "first"});
  for (const Ino node : {all, old, walk(old, {"d"})}) EXPECT_EQ(tree.lookup(node, ".")->ino, node);
  EXPECT_EQ(tree.lookup(all, "..")->ino, d);
  EXPECT_EQ(tree.lookup(walk(old, {"d"}), "..")->ino, old);
  EXPECT_EQ(tree.lookup(old, "..")->ino, snapshots_of(kRootIno));
}

TEST_F(TreeTest, ChangesOfTheHeadAreSignalledOnce) {
  int signalled = 0;
  const auto signal = std::make_shared<ChangeSignal>([&] { ++signalled; });
  SnapshotTree signalling{head, snapshots, [this]() -> Result<std::string> { return status; },
                          signal};
  EXPECT_TRUE(signalling.getattr(f));
  EXPECT_FALSE(signalling.mkdir(kRootIno, "d", 0755, kRoot));
  EXPECT_EQ(signalled, 0);
  EXPECT_TRUE(signalling.write(f, 0, as_bytes("x"), false));
  EXPECT_TRUE(signalling.setattr(f, {.mode = 0600}, kRoot));
  EXPECT_EQ(signalled, 1);
  signal->lower();
  EXPECT_TRUE(signalling.unlink(d, "f"));
  EXPECT_EQ(signalled, 2);
}

TEST_F(TreeTest, RemovedDirectoriesHaveNone) {
  const Ino it = snapshots_of(e);
  class Everybody : public Volume::KernelView {
    bool knows(Ino) override { return true; }
  } everybody;
  tree.set_kernel_view(&everybody);
  ASSERT_TRUE(tree.rmdir(kRootIno, "e"));
  EXPECT_EQ(error_of(tree.lookup(e, ".snapshots")), ENOENT);
  EXPECT_EQ(error_of(tree.getattr(it)), ENOENT);
  tree.set_kernel_view(nullptr);
}

}  // namespace
}  // namespace projfs::snapshot
