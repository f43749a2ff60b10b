// SPDX-License-Identifier: MIT
#include "fuse/request.h"

#include <algorithm>

namespace projfs::fuse {
namespace {

struct Shape {
  std::size_t fixed = 0;  // bytes of fixed arguments
  unsigned names = 0;     // NUL-terminated strings after them
};

Shape shape_of(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_REMOVEXATTR:
      return {0, 1};
    case FUSE_SYMLINK:
      return {0, 2};
    case FUSE_FORGET:
      return {sizeof(fuse_forget_in)};
    case FUSE_BATCH_FORGET:
      return {sizeof(fuse_batch_forget_in)};
    case FUSE_GETATTR:
      return {sizeof(fuse_getattr_in)};
    case FUSE_SETATTR:
      return {sizeof(fuse_setattr_in)};
    case FUSE_MKNOD:
      return {sizeof(fuse_mknod_in), 1};
    case FUSE_MKDIR:
      return {sizeof(fuse_mkdir_in), 1};
    case FUSE_RENAME:
      return {sizeof(fuse_rename_in), 2};
    case FUSE_RENAME2:
      return {sizeof(fuse_rename2_in), 2};
    case FUSE_LINK:
      return {sizeof(fuse_link_in), 1};
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return {sizeof(fuse_open_in)};
    case FUSE_CREATE:
      return {sizeof(fuse_create_in), 1};
    case FUSE_TMPFILE:
      return {sizeof(fuse_create_in)};
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return {sizeof(fuse_read_in)};
    case FUSE_WRITE:
      return {sizeof(fuse_write_in)};
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return {sizeof(fuse_release_in)};
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
      return {sizeof(fuse_fsync_in)};
    case FUSE_SETXATTR:
      return {FUSE_COMPAT_SETXATTR_IN_SIZE};  // the longer form depends on what was negotiated
    case FUSE_GETXATTR:
      return {sizeof(fuse_getxattr_in), 1};
    case FUSE_LISTXATTR:
      return {sizeof(fuse_getxattr_in)};
    case FUSE_FLUSH:
      return {sizeof(fuse_flush_in)};
    case FUSE_INIT:
      return {16};  // the fields up to 7.35; later ones are looked for before use
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW:
      return {sizeof(fuse_lk_in)};
    case FUSE_ACCESS:
      return {sizeof(fuse_access_in)};
    case FUSE_INTERRUPT:
      return {sizeof(fuse_interrupt_in)};
    case FUSE_BMAP:
      return {sizeof(fuse_bmap_in)};
    case FUSE_IOCTL:
      return {sizeof(fuse_ioctl_in)};
    case FUSE_POLL:
      return {sizeof(fuse_poll_in)};
    case FUSE_NOTIFY_REPLY:
      return {sizeof(fuse_notify_retrieve_in)};
    case FUSE_FALLOCATE:
      return {sizeof(fuse_fallocate_in)};
    case FUSE_LSEEK:
      return {sizeof(fuse_lseek_in)};
    case FUSE_COPY_FILE_RANGE:
    case kOpCopyFileRange64:
      return {sizeof(fuse_copy_file_range_in)};
    case kOpStatx:
      return {sizeof(StatxIn)};
    default:
      return {};
  }
}

}  // namespace

bool Request::has_header() const {
  return raw_.size() >= sizeof(fuse_in_header) && header().len == raw_.size();
}

bool Request::well_formed() const {
  const Shape shape = shape_of(opcode());
  Bytes rest = body();
  if (rest.size() < shape.fixed) return false;
  switch (opcode()) {
    case FUSE_WRITE:
      return rest.size() - shape.fixed >= argument<fuse_write_in>().size;
    case FUSE_BATCH_FORGET:
      return (rest.size() - shape.fixed) / sizeof(fuse_forget_one) >=
             argument<fuse_batch_forget_in>().count;
    default:
      break;
  }
  rest = rest.subspan(shape.fixed);
  for (unsigned i = 0; i < shape.names; ++i) {
    const auto end = std::find(rest.begin(), rest.end(), 0);
    if (end == rest.end()) return false;
    rest = rest.subspan(static_cast<std::size_t>(end - rest.begin()) + 1);
  }
  return true;
}

bool Request::may_wait() const {
  // A read this long costs more than waking a thread, and is often a cold one.
  constexpr std::uint32_t kLongRead = 32 << 10;
  switch (opcode()) {
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case kOpCopyFileRange64:
      return true;
    case FUSE_READ:
      return body().size() >= sizeof(fuse_read_in) && argument<fuse_read_in>().size > kLongRead;
    default:
      return false;
  }
}

}  // namespace projfs::fuse
