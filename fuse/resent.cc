// SPDX-License-Identifier: MIT
#include "fuse/resent.h"

#include "fuse/raw_answer.h"
#include "fuse/set_id.h"

namespace projfs::fuse {
namespace {

std::size_t fixed_length(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_MKNOD:
      return sizeof(fuse_mknod_in);
    case FUSE_MKDIR:
      return sizeof(fuse_mkdir_in);
    case FUSE_LINK:
      return sizeof(fuse_link_in);
    default:
      return 0;  // SYMLINK
  }
}

// The name is there, and the kernel keeps it so until it has the answer.
void entry_again(Channel& channel, const Request& request) {
  answer_raw(channel, request, [&](Volume& v) -> Result<fuse_entry_out> {
    const auto names = request.body().subspan(fixed_length(request.opcode()));
    const Ino parent = request.header().nodeid;
    const std::string name(reinterpret_cast<const char*>(names.data()));
    PROJFS_ASSIGN(const Attr attr, v.lookup(parent, name));
    const Timeout entry = split(attr_timeout_s(parent)),
                  attributes = split(attr_timeout_s(attr.ino));
    fuse_entry_out out{};
    out.nodeid = attr.ino;
    out.entry_valid = entry.seconds;
    out.entry_valid_nsec = entry.nanoseconds;
    out.attr_valid = attributes.seconds;
    out.attr_valid_nsec = attributes.nanoseconds;
    out.attr = to_wire(attr);
    return out;
  });
}

// What follows the copy has to be done as well.
template <class Count>
void copied_again(Channel& channel, const Request& request, const Count& count) {
  answer_raw(channel, request, [&](Volume&) -> Result<Count> {
    const auto& in = request.argument<fuse_copy_file_range_in>();
    PROJFS_TRY(drop_set_id(channel, in.nodeid_out, request.header().uid));
    return count;
  });
}

}  // namespace

bool happens_once(std::uint32_t opcode) {
  switch (opcode) {
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_TMPFILE:
    case FUSE_SETXATTR:  // XATTR_CREATE
    case FUSE_REMOVEXATTR:
    case FUSE_COPY_FILE_RANGE:
    case kOpCopyFileRange64:
      return true;
    default:
      return false;
  }
}

bool is_resent(const Request& request) {
  return request.has_header() && (request.header().unique & kResent) != 0;
}

void answer_again(Channel& channel, const Request& request, std::uint64_t result) {
  switch (request.opcode()) {
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
      return entry_again(channel, request);
    case FUSE_TMPFILE:
      return answer_raw(channel, request, [&](Volume& v) -> Result<NewOpenFile> {
        PROJFS_ASSIGN(const Attr attr, v.getattr(result));
        return unnamed_file(attr);
      });
    case FUSE_COPY_FILE_RANGE:
      return copied_again(channel, request,
                          fuse_write_out{.size = static_cast<std::uint32_t>(result), .padding = 0});
    case kOpCopyFileRange64:
      return copied_again(channel, request, CopyFileRangeOut64{result});
    default:
      return channel.reply(request, {});
  }
}

}  // namespace projfs::fuse
