// SPDX-License-Identifier: MIT
//
// Attributes, listings and data: the head's are handed on, those of snapshots are only read.
#include <sys/stat.h>

#include "fs/extent_sharing.h"
#include "snapshot/tree.h"

namespace projfs::snapshot {
namespace {

constexpr std::string_view kStatusName = "user.projfs.status";
constexpr std::string_view kSnapshotName = "user.projfs.snapshot";
constexpr std::string_view kReservedPrefix = "user.projfs.";

// What is inside a snapshot never changes, and `.snapshots` is nobody's to change.
tl::unexpected<Error> refused(Ino node) {
  return fail(NodeId::is_snapshots_directory(node) ? EPERM : EROFS);
}

}  // namespace

Result<Attr> SnapshotTree::getattr(Ino ino) {
  if (NodeId::is_head(ino)) [[likely]]
    return head_->getattr(ino);
  if (NodeId::is_snapshots_directory(ino)) return snapshots_directory(NodeId::inode(ino));
  PROJFS_ASSIGN(const auto volume, inside(ino));
  PROJFS_ASSIGN(Attr attr, volume->getattr(NodeId::inode(ino)));
  attr.ino |= NodeId::view(ino);
  return attr;
}

Result<Attr> SnapshotTree::setattr(Ino ino, const AttrChange& change, const Caller& caller) {
  if (!NodeId::is_head(ino)) return refused(ino);
  return noted(head_->setattr(ino, change, caller));
}

Status SnapshotTree::readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) {
  if (NodeId::is_head(dir)) return head_->readdir(dir, cookie, want_attr, sink);
  if (NodeId::is_snapshots_directory(dir))
    return list_snapshots(NodeId::inode(dir), cookie, want_attr, sink);
  PROJFS_ASSIGN(const auto volume, inside(dir));
  const Ino view = NodeId::view(dir);
  return volume->readdir(NodeId::inode(dir), cookie, want_attr,
                         [&](const DirEntry& found, const Attr* attr) {
                           DirEntry entry = found;
                           entry.ino |= view;
                           if (!attr) return sink(entry, nullptr);
                           Attr seen = *attr;
                           seen.ino |= view;
                           return sink(entry, &seen);
                         });
}

Result<std::string> SnapshotTree::readlink(Ino ino) {
  if (NodeId::is_head(ino)) return head_->readlink(ino);
  if (NodeId::is_snapshots_directory(ino)) return fail(EINVAL);
  PROJFS_ASSIGN(const auto volume, inside(ino));
  return volume->readlink(NodeId::inode(ino));
}

Status SnapshotTree::setxattr(Ino ino, std::string_view name, std::string_view value, int flags,
                              bool kill_sgid) {
  if (!NodeId::is_head(ino)) return refused(ino);
  if (name.starts_with(kReservedPrefix)) [[unlikely]]
    return fail(EPERM);
  return noted(head_->setxattr(ino, name, value, flags, kill_sgid));
}

Result<std::string> SnapshotTree::getxattr(Ino ino, std::string_view name) {
  if (name.starts_with(kReservedPrefix)) [[unlikely]] {
    const bool of_snapshot = name == kSnapshotName && NodeId::snapshot(ino) != 0;
    if (name != kStatusName && !of_snapshot) return fail(ENODATA);
    PROJFS_ASSIGN(const Attr attr, getattr(ino));
    if (!S_ISDIR(attr.mode)) return fail(ENODATA);
    return of_snapshot ? snapshots_->describe(NodeId::snapshot(ino)) : status_();
  }
  if (NodeId::is_head(ino)) return head_->getxattr(ino, name);
  if (NodeId::is_snapshots_directory(ino)) return fail(ENODATA);
  PROJFS_ASSIGN(const auto volume, inside(ino));
  return volume->getxattr(NodeId::inode(ino), name);
}

Result<std::vector<std::string>> SnapshotTree::listxattr(Ino ino) {
  if (NodeId::is_head(ino)) return head_->listxattr(ino);
  if (NodeId::is_snapshots_directory(ino)) return std::vector<std::string>();
  PROJFS_ASSIGN(const auto volume, inside(ino));
  return volume->listxattr(NodeId::inode(ino));
}

Status SnapshotTree::removexattr(Ino ino, std::string_view name) {
  if (!NodeId::is_head(ino)) return refused(ino);
  if (name.starts_with(kReservedPrefix)) [[unlikely]]
    return fail(EPERM);
  return noted(head_->removexattr(ino, name));
}

Result<std::size_t> SnapshotTree::read(Ino ino, std::uint64_t offset, MutableBytes out) {
  if (NodeId::is_head(ino)) [[likely]]
    return head_->read(ino, offset, out);
  if (NodeId::is_snapshots_directory(ino)) return fail(EISDIR);
  PROJFS_ASSIGN(const auto volume, inside(ino));
  return volume->read(NodeId::inode(ino), offset, out);
}

Status SnapshotTree::write(Ino ino, std::uint64_t offset, Bytes data, bool drop_set_id) {
  if (!NodeId::is_head(ino)) [[unlikely]]
    return refused(ino);
  return noted(head_->write(ino, offset, data, drop_set_id));
}

Status SnapshotTree::fallocate(Ino ino, int mode, std::uint64_t offset, std::uint64_t length) {
  if (!NodeId::is_head(ino)) return refused(ino);
  return noted(head_->fallocate(ino, mode, offset, length));
}

Result<std::uint64_t> SnapshotTree::seek(Ino ino, std::uint64_t offset, int whence) {
  if (NodeId::is_head(ino)) return head_->seek(ino, offset, whence);
  if (NodeId::is_snapshots_directory(ino)) return fail(EINVAL);
  PROJFS_ASSIGN(const auto volume, inside(ino));
  return volume->seek(NodeId::inode(ino), offset, whence);
}

Result<std::uint64_t> SnapshotTree::copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                               std::uint64_t to_offset, std::uint64_t length) {
  if (!NodeId::is_head(to)) return refused(to);
  if (NodeId::is_head(from))
    return noted(head_->copy_range(from, from_offset, to, to_offset, length));
  if (NodeId::is_snapshots_directory(from)) return fail(EISDIR);
  PROJFS_ASSIGN(const auto volume, inside(from));
  auto* const source = dynamic_cast<fs::ExtentSource*>(volume.get());
  auto* const target = dynamic_cast<fs::ExtentTarget*>(head_.get());
  if (!source || !target) return fail(EXDEV);  // the kernel copies the bytes
  return noted(target->copy_in(*source, NodeId::inode(from), from_offset, to, to_offset, length));
}

Status SnapshotTree::fsync(Ino ino, bool data_only) {
  // A snapshot that could be looked up may not be on the disk yet.
  if (!NodeId::is_head(ino)) return head_->syncfs();
  return head_->fsync(ino, data_only);
}

void SnapshotTree::forget(Ino ino) {
  if (NodeId::is_head(ino)) [[likely]]
    head_->forget(ino);
}

}  // namespace projfs::snapshot
