// SPDX-License-Identifier: MIT
#include "fuse/raw_answer.h"

#include <cmath>

namespace projfs::fuse {

Timeout split(double timeout_s) {
  const double whole = std::floor(timeout_s);
  return {static_cast<std::uint64_t>(whole), static_cast<std::uint32_t>((timeout_s - whole) * 1e9)};
}

fuse_attr to_wire(const Attr& attr) {
  fuse_attr out{};
  out.ino = attr.ino;
  out.size = attr.size;
  out.blocks = attr.allocated / 512;
  out.atime = static_cast<std::uint64_t>(attr.atime.tv_sec);
  out.mtime = static_cast<std::uint64_t>(attr.mtime.tv_sec);
  out.ctime = static_cast<std::uint64_t>(attr.ctime.tv_sec);
  out.atimensec = static_cast<std::uint32_t>(attr.atime.tv_nsec);
  out.mtimensec = static_cast<std::uint32_t>(attr.mtime.tv_nsec);
  out.ctimensec = static_cast<std::uint32_t>(attr.ctime.tv_nsec);
  out.mode = attr.mode;
  out.nlink = attr.nlink;
  out.uid = attr.uid;
  out.gid = attr.gid;
  out.rdev = static_cast<std::uint32_t>(attr.rdev);
  out.blksize = kBlock;
  return out;
}

NewOpenFile unnamed_file(const Attr& attr) {
  const Timeout timeout = split(context().channel->cache_timeout_s());
  NewOpenFile reply{};
  reply.entry.nodeid = attr.ino;
  reply.entry.entry_valid = reply.entry.attr_valid = timeout.seconds;
  reply.entry.entry_valid_nsec = reply.entry.attr_valid_nsec = timeout.nanoseconds;
  reply.entry.attr = to_wire(attr);
  reply.open.open_flags = FOPEN_KEEP_CACHE;
  return reply;
}

}  // namespace projfs::fuse
