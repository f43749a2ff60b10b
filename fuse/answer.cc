// SPDX-License-Identifier: MIT
#include "fuse/answer.h"

#include <sys/statvfs.h>
#include <algorithm>

namespace projfs::fuse {

struct stat to_stat(const Attr& attr) {
  struct stat st {};
  st.st_ino = attr.ino;
  st.st_mode = attr.mode;
  st.st_nlink = attr.nlink;
  st.st_uid = attr.uid;
  st.st_gid = attr.gid;
  st.st_rdev = attr.rdev;
  st.st_size = static_cast<off_t>(attr.size);
  st.st_blocks = static_cast<blkcnt_t>(attr.allocated / 512);
  st.st_blksize = kBlock;
  st.st_atim = attr.atime;
  st.st_mtim = attr.mtime;
  st.st_ctim = attr.ctime;
  return st;
}

double attr_timeout_s(Ino node) {
  return NodeId::is_snapshots_directory(node) ? 0 : context().channel->cache_timeout_s();
}

fuse_entry_param to_entry(const Attr& attr) {
  fuse_entry_param out{};
  out.ino = attr.ino;
  out.attr = to_stat(attr);
  out.attr_timeout = attr_timeout_s(attr.ino);
  // The directory that an entry is in is the node of every request that is answered with entries.
  out.entry_timeout = attr_timeout_s(context().request.header().nodeid);
  return out;
}

void send(fuse_req_t req, const Entry& entry) {
  const fuse_entry_param out = to_entry(entry.attr);
  fuse_reply_entry(req, &out);
}

void send(fuse_req_t req, const NoEntry& /*nothing*/) {
  fuse_entry_param out{};
  out.entry_timeout = context().channel->cache_timeout_s();
  fuse_reply_entry(req, &out);
}

void send(fuse_req_t req, const Attr& attr) {
  const struct stat st = to_stat(attr);
  fuse_reply_attr(req, &st, attr_timeout_s(attr.ino));
}

void send(fuse_req_t req, const Written& written) { fuse_reply_write(req, written.bytes); }

void send(fuse_req_t req, const Position& position) {
  fuse_reply_lseek(req, static_cast<off_t>(position.offset));
}

void send(fuse_req_t req, const XattrSize& size) { fuse_reply_xattr(req, size.bytes); }

void send(fuse_req_t req, const Payload& payload) {
  fuse_reply_buf(req, reinterpret_cast<const char*>(payload.bytes.data()), payload.bytes.size());
}

void send(fuse_req_t req, const LinkTarget& target) {
  fuse_reply_readlink(req, target.path.c_str());
}

void send(fuse_req_t req, const VolumeSpace& space) {
  struct statvfs out {};
  out.f_bsize = out.f_frsize = kBlock;
  out.f_blocks = space.total_bytes / kBlock;
  out.f_bfree = out.f_bavail = space.free_bytes / kBlock;
  out.f_files = space.total_inodes;
  out.f_ffree = out.f_favail = space.free_inodes;
  out.f_namemax = kMaxName;
  fuse_reply_statfs(req, &out);
}

int report(const Error& error) {
  if (error.code == EIO) {
    const Context& inside = context();
    log::error("project {}: operation {} on inode {}: {}", inside.channel->id(),
               inside.request.opcode(), inside.request.header().nodeid, error.describe());
  }
  // The kernel takes an errno below 512 only; anything else would fail as a broken reply.
  return error.code > 0 && error.code < 512 ? error.code : EIO;
}

Caller caller_of(fuse_req_t req) {
  const fuse_ctx& who = *fuse_req_ctx(req);
  return Caller{.uid = who.uid, .gid = who.gid, .umask = who.umask, .privileged = who.uid == 0};
}

}  // namespace projfs::fuse
