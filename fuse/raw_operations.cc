// SPDX-License-Identifier: MIT
//
// Operations answered from the raw request: what libfuse 3.14 does not know (TMPFILE, STATX,
// SYNCFS, COPY_FILE_RANGE_64) or decodes in its old form only (SETXATTR).
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <algorithm>
#include <cstring>

#include "fuse/operations.h"
#include "fuse/raw_answer.h"
#include "fuse/set_id.h"

namespace projfs::fuse {
namespace {

void tmpfile(Channel& channel, const Request& request) {
  answer_raw(channel, request, [&](Volume& v) -> Result<NewOpenFile> {
    const auto& in = request.argument<fuse_create_in>();
    const auto& who = request.header();
    const Caller caller{
        .uid = who.uid, .gid = who.gid, .umask = in.umask, .privileged = who.uid == 0};
    PROJFS_ASSIGN(const Attr attr, v.tmpfile(who.nodeid, in.mode, caller));
    return unnamed_file(attr);
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
