// SPDX-License-Identifier: MIT
//
// What has to do with `.snapshots` itself; what is merely handed on is in tree_reading.cc.
#include "snapshot/tree.h"

#include <linux/fs.h>
#include <sys/stat.h>

namespace projfs::snapshot {
namespace {

// Cookies of a listing of snapshots: 1 and 2 are "." and "..", then the snapshot's number above 2.
constexpr std::uint64_t kFirstCookie = 2;

bool is_reserved(std::string_view name) { return name == kSnapshotsName; }

// Why nothing can be made, changed or removed by that name below that node; success: the head's
// business.
Status refuse_creation(Ino parent, std::string_view name) {
  if (NodeId::is_head(parent)) {
    if (is_reserved(name)) return fail(EEXIST);
    return {};
  }
  return fail(NodeId::is_snapshots_directory(parent) ? EPERM : EROFS);
}

Status refuse_removal(Ino parent, std::string_view name) {
  if (NodeId::is_head(parent)) {
    if (is_reserved(name)) return fail(EPERM);
    return {};
  }
  return fail(NodeId::is_snapshots_directory(parent) ? EPERM : EROFS);
}

}  // namespace

SnapshotTree::SnapshotTree(std::shared_ptr<Volume> head, std::shared_ptr<SnapshotSet> snapshots,
                           StatusText status, std::shared_ptr<ChangeSignal> changes)
    : head_(std::move(head)),
      snapshots_(std::move(snapshots)),
      status_(std::move(status)),
      changes_(std::move(changes)) {}

Result<std::shared_ptr<Volume>> SnapshotTree::inside(Ino node) {
  return snapshots_->volume(NodeId::snapshot(node));
}

Result<Attr> SnapshotTree::snapshots_directory(Ino directory) {
  PROJFS_ASSIGN(const Attr of, head_->getattr(directory));
  if (!S_ISDIR(of.mode)) return fail(ENOTDIR);
  if (of.nlink == 0) return fail(ENOENT);
  PROJFS_ASSIGN(const Attr root, head_->getattr(kRootIno));
  Attr attr;
  attr.ino = NodeId::snapshots_directory_of(directory);
  attr.mode = S_IFDIR | 0755;
  attr.nlink = 1;  // "not counted": with 2, find would take it that there are no directories inside
  // The kernel lets the owner of a directory make and remove things in it.
  attr.uid = root.uid;
  attr.gid = root.gid;
  attr.atime = attr.mtime = attr.ctime = snapshots_->changed();
  attr.btime = root.btime;
  return attr;
}

Result<Attr> SnapshotTree::as_it_was(Ino directory, std::uint64_t snapshot) {
  PROJFS_ASSIGN(const auto volume, snapshots_->volume(snapshot));
  PROJFS_ASSIGN(Attr attr, volume->getattr(directory));
  // Inode numbers are never used again, so a directory it was if it was there at all; one that was
  // removed but in use when the snapshot was made has no place in it.
  if (attr.nlink == 0) return fail(ENOENT);
  attr.ino |= NodeId::view_of(snapshot, directory != kRootIno);
  return attr;
}

Result<Attr> SnapshotTree::lookup(Ino parent, std::string_view name) {
  if (NodeId::is_head(parent)) [[likely]] {
    if (is_reserved(name)) [[unlikely]]
      return snapshots_directory(parent);
    return head_->lookup(parent, name);
  }
  if (NodeId::is_snapshots_directory(parent)) {
    // Who comes back by a file handle asks for these.
    if (name == ".") return snapshots_directory(NodeId::inode(parent));
    if (name == "..") return head_->getattr(NodeId::inode(parent));
    PROJFS_ASSIGN(const auto found, snapshots_->find(name));
    auto attr = as_it_was(NodeId::inode(parent), found.number);
    // Deleted this very moment.
    if (!attr && attr.error().code == ESTALE) return fail(ENOENT);
    return attr;
  }
  // The directory that shows this snapshot's root.
  if (name == ".." && parent == (NodeId::view_of(NodeId::snapshot(parent), false) | kRootIno))
    return snapshots_directory(kRootIno);
  PROJFS_ASSIGN(const auto volume, inside(parent));
  PROJFS_ASSIGN(Attr attr, volume->lookup(NodeId::inode(parent), name));
  attr.ino |= NodeId::view(parent);
  return attr;
}

Result<Attr> SnapshotTree::mknod(Ino parent, std::string_view name, std::uint32_t mode,
                                 std::uint64_t rdev, const Caller& caller) {
  PROJFS_TRY(refuse_creation(parent, name));
  return noted(head_->mknod(parent, name, mode, rdev, caller));
}

Result<Attr> SnapshotTree::symlink(Ino parent, std::string_view name, std::string_view target,
                                   const Caller& caller) {
  PROJFS_TRY(refuse_creation(parent, name));
  return noted(head_->symlink(parent, name, target, caller));
}

Result<Attr> SnapshotTree::tmpfile(Ino parent, std::uint32_t mode, const Caller& caller) {
  PROJFS_TRY(refuse_creation(parent, {}));
  return noted(head_->tmpfile(parent, mode, caller));
}

Result<Attr> SnapshotTree::link(Ino ino, Ino new_parent, std::string_view new_name) {
  PROJFS_TRY(refuse_creation(new_parent, new_name));
  if (!NodeId::is_head(ino)) return fail(EXDEV);
  return noted(head_->link(ino, new_parent, new_name));
}

Status SnapshotTree::may_change(const Caller& caller) {
  if (caller.uid == 0) return {};
  PROJFS_ASSIGN(const Attr root, head_->getattr(kRootIno));
  if (caller.uid != root.uid) return fail(EPERM);
  return {};
}

Result<Attr> SnapshotTree::mkdir(Ino parent, std::string_view name, std::uint32_t mode,
                                 const Caller& caller) {
  if (!NodeId::is_snapshots_directory(parent)) {
    PROJFS_TRY(refuse_creation(parent, name));
    return noted(head_->mkdir(parent, name, mode, caller));
  }
  PROJFS_TRY(may_change(caller));
  PROJFS_ASSIGN(const auto made, snapshots_->create(name));
  return as_it_was(NodeId::inode(parent), made.number);
}

Status SnapshotTree::unlink(Ino parent, std::string_view name) {
  PROJFS_TRY(refuse_removal(parent, name));
  return noted(head_->unlink(parent, name));
}

// Whether the caller may has been looked at by the kernel, in the mode of `.snapshots`.
Status SnapshotTree::rmdir(Ino parent, std::string_view name) {
  if (NodeId::is_snapshots_directory(parent)) return snapshots_->remove(name);
  PROJFS_TRY(refuse_removal(parent, name));
  return noted(head_->rmdir(parent, name));
}

Status SnapshotTree::rename(Ino parent, std::string_view name, Ino new_parent,
                            std::string_view new_name, unsigned flags) {
  if (NodeId::is_snapshots_directory(parent) && parent == new_parent) {
    if ((flags & ~unsigned{RENAME_NOREPLACE}) != 0) return fail(EINVAL);
    return snapshots_->rename(name, new_name);
  }
  // Not EXDEV: mv would then copy a snapshot and try to remove it.
  if (!NodeId::is_head(parent) || !NodeId::is_head(new_parent)) return fail(EROFS);
  PROJFS_TRY(refuse_removal(parent, name));
  PROJFS_TRY(refuse_creation(new_parent, new_name));
  return noted(head_->rename(parent, name, new_parent, new_name, flags));
}

Status SnapshotTree::list_snapshots(Ino directory, std::uint64_t cookie, bool want_attr,
                                    const DirSink& sink) {
  const Ino self = NodeId::snapshots_directory_of(directory);
  if (cookie < 1 && !sink({".", self, S_IFDIR, 1}, nullptr)) return {};
  if (cookie < 2 && !sink({"..", directory, S_IFDIR, 2}, nullptr)) return {};
  Status outcome;
  const auto after = cookie > kFirstCookie ? cookie - kFirstCookie : 0;
  PROJFS_TRY(snapshots_->list(after, [&](const SnapshotSet::Entry& found) {
    const bool root = directory == kRootIno;
    const auto next = found.number + kFirstCookie;
    // In every snapshot there is a root: no need to look.
    if (root && !want_attr) {
      return sink({found.name, directory | NodeId::view_of(found.number, false), S_IFDIR, next},
                  nullptr);
    }
    const auto attr = as_it_was(directory, found.number);
    if (attr) {
      return sink({found.name, attr->ino, S_IFDIR, next}, want_attr ? &*attr : nullptr);
    }
    // Not there at that time, or deleted meanwhile: left out.
    if (attr.error().code == ENOENT || attr.error().code == ESTALE) return true;
    outcome = tl::unexpected(attr.error());
    return false;
  }));
  return outcome;
}

}  // namespace projfs::snapshot
