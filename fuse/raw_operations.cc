// SPDX-License-Identifier: MIT
//
// Operations answered from the raw request: what libfuse 3.14 does not know (TMPFILE, STATX,
// SYNCFS, COPY_FILE_RANGE_64) or decodes in its old form only (SETXATTR).
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "fuse/answer.h"
#include "fuse/operations.h"
#include "fuse/set_id.h"

namespace projfs::fuse {
namespace {

template <class T>
Bytes bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

struct Timeout {
  std::uint64_t seconds;
  std::uint32_t nanoseconds;
};

Timeout split(double timeout_s) {
  const double whole = std::floor(timeout_s);
  return {static_cast<std::uint64_t>(whole), static_cast<std::uint32_t>((timeout_s - whole) * 1e9)};
}

// Runs `body`, which returns a Result of the reply's payload or a Status.
template <class Body>
void answer_raw(Channel& channel, const Request& request, Body&& body) {
  const auto result = guarded(std::forward<Body>(body));
  if (!result) {
    channel.reply_error(request, report(result.error()));
  } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(result)>, Status>) {
    channel.reply(request, {});
  } else {
    channel.reply(request, bytes_of(*result));
  }
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

void tmpfile(Channel& channel, const Request& request) {
  struct Reply {
    fuse_entry_out entry;
    fuse_open_out open;
  };
  answer_raw(channel, request, [&](Volume& v) -> Result<Reply> {
    const auto& in = request.argument<fuse_create_in>();
    const auto& who = request.header();
    const Caller caller{
        .uid = who.uid, .gid = who.gid, .umask = in.umask, .privileged = who.uid == 0};
    PROJFS_ASSIGN(const Attr attr, v.tmpfile(who.nodeid, in.mode, caller));
    const Timeout timeout = split(channel.cache_timeout_s());
    Reply reply{};
    reply.entry.nodeid = attr.ino;
    reply.entry.entry_valid = reply.entry.attr_valid = timeout.seconds;
    reply.entry.entry_valid_nsec = reply.entry.attr_valid_nsec = timeout.nanoseconds;
    reply.entry.attr = to_wire(attr);
    reply.open.open_flags = FOPEN_KEEP_CACHE;
    return reply;
  });
}

StatxTime to_wire(const timespec& t) {
  return {t.tv_sec, static_cast<std::uint32_t>(t.tv_nsec), 0};
}

void statx(Channel& channel, const Request& request) {
  answer_raw(channel, request, [&](Volume& v) -> Result<StatxOut> {
    PROJFS_ASSIGN(const Attr attr, v.getattr(request.header().nodeid));
    const Timeout timeout = split(attr_timeout_s(attr.ino));
    StatxOut out{};
    out.attr_valid = timeout.seconds;
    out.attr_valid_nsec = timeout.nanoseconds;
    out.mask = STATX_BASIC_STATS | STATX_BTIME;
    out.blksize = kBlock;
    out.nlink = attr.nlink;
    out.uid = attr.uid;
    out.gid = attr.gid;
    out.mode = static_cast<std::uint16_t>(attr.mode);
    out.ino = attr.ino;
    out.size = attr.size;
    out.blocks = attr.allocated / 512;
    out.atime = to_wire(attr.atime);
    out.btime = to_wire(attr.btime);
    out.ctime = to_wire(attr.ctime);
    out.mtime = to_wire(attr.mtime);
    out.rdev_major = major(attr.rdev);
    out.rdev_minor = minor(attr.rdev);
    return out;
  });
}

void setxattr(Channel& channel, const Request& request) {
  answer_raw(channel, request, [&](Volume& v) -> Status {
    const bool long_form = channel.negotiated().long_setxattr();
    const std::size_t fixed =
        long_form ? sizeof(fuse_setxattr_in) : std::size_t{FUSE_COMPAT_SETXATTR_IN_SIZE};
    const Bytes body = request.body();
    if (body.size() < fixed) return fail(EINVAL);
    fuse_setxattr_in in{};
    std::memcpy(&in, body.data(), fixed);
    const Bytes rest = body.subspan(fixed);
    const auto end = std::find(rest.begin(), rest.end(), 0);
    if (end == rest.end()) return fail(EINVAL);
    const auto length = static_cast<std::size_t>(end - rest.begin());
    const Bytes value = rest.subspan(length + 1);
    if (value.size() < in.size) return fail(EINVAL);
    // The kernel sends the flag for default ACLs too, which take no set-gid away.
    const auto name = as_view(rest.first(length));
    const bool kill_sgid = (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0 &&
                           name != "system.posix_acl_default";
    return v.setxattr(request.header().nodeid, name, as_view(value.first(in.size)),
                      static_cast<int>(in.flags), kill_sgid);
  });
}

void copy_file_range(Channel& channel, const Request& request) {
  answer_raw(channel, request, [&](Volume& v) -> Result<CopyFileRangeOut64> {
    const auto& in = request.argument<fuse_copy_file_range_in>();
    PROJFS_ASSIGN(const auto copied, v.copy_range(request.header().nodeid, in.off_in, in.nodeid_out,
                                                  in.off_out, in.len));
    PROJFS_TRY(drop_set_id(channel, in.nodeid_out, request.header().uid));
    return CopyFileRangeOut64{copied};
  });
}

}  // namespace

bool raw_operation(Channel& channel, const Request& request) {
  switch (request.opcode()) {
    case FUSE_SETXATTR:
      setxattr(channel, request);
      return true;
    case FUSE_TMPFILE:
      tmpfile(channel, request);
      return true;
    case kOpStatx:
      statx(channel, request);
      return true;
    case FUSE_SYNCFS:
      answer_raw(channel, request, [](Volume& v) { return v.syncfs(); });
      return true;
    case kOpCopyFileRange64:
      copy_file_range(channel, request);
      return true;
    default:
      return false;
  }
}

}  // namespace projfs::fuse
