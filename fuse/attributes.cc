// SPDX-License-Identifier: MIT
//
// Attributes of inodes and of the file system, extended attributes.
#include <string_view>

#include "fuse/answer.h"
#include "fuse/operations.h"

namespace projfs::fuse {
namespace {

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) { return v.getattr(ino); });
}

AttrChange change_of(const struct stat& st, int set) {
  AttrChange change;
  if (set & FUSE_SET_ATTR_MODE) change.mode = st.st_mode & 07777;
  if (set & FUSE_SET_ATTR_UID) change.uid = st.st_uid;
  if (set & FUSE_SET_ATTR_GID) change.gid = st.st_gid;
  if (set & FUSE_SET_ATTR_SIZE) change.size = static_cast<std::uint64_t>(st.st_size);
  change.atime_now = (set & FUSE_SET_ATTR_ATIME_NOW) != 0;
  change.mtime_now = (set & FUSE_SET_ATTR_MTIME_NOW) != 0;
  if ((set & FUSE_SET_ATTR_ATIME) && !change.atime_now) change.atime = st.st_atim;
  if ((set & FUSE_SET_ATTR_MTIME) && !change.mtime_now) change.mtime = st.st_mtim;
  if (set & FUSE_SET_ATTR_CTIME) change.ctime = st.st_ctim;
  // libfuse's name for the bit that the protocol calls FATTR_KILL_SUIDGID.
  change.drop_set_id = (set & FUSE_SET_ATTR_KILL_SUID) != 0;
  return change;
}

void setattr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int set, fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) { return v.setattr(ino, change_of(*st, set), caller_of(req)); });
}

void statfs(fuse_req_t req, fuse_ino_t /*ino*/) {
  answer(req, [&](Volume& v) { return v.space(); });
}

// Both xattr reads answer a size of 0 with the length, and a size too small with ERANGE. `slack`:
// how much a value that changes by itself may grow from the first to the second.
void send_value(fuse_req_t req, std::string_view value, std::size_t room, std::size_t slack = 0) {
  if (room == 0) return send(req, XattrSize{value.size() + slack});
  if (value.size() > room) {
    fuse_reply_err(req, ERANGE);
    return;
  }
  send(req, Payload{as_bytes(value)});
}

void getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t room) {
  const auto value = guarded([&](Volume& v) { return v.getxattr(ino, name); });
  if (!value) {
    fuse_reply_err(req, report(value.error()));
    return;
  }
  const bool is_computed = std::string_view(name).starts_with("user.projfs.");
  send_value(req, *value, room, is_computed ? 256 : 0);
}

void listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t room) {
  const auto list = guarded([&](Volume& v) -> Result<std::string> {
    PROJFS_ASSIGN(const auto names, v.listxattr(ino));
    std::string joined;
    for (const std::string& name : names) joined.append(name).push_back('\0');
    return joined;
  });
  if (!list) {
    fuse_reply_err(req, report(list.error()));
    return;
  }
  send_value(req, *list, room);
}

void removexattr(fuse_req_t req, fuse_ino_t ino, const char* name) {
  answer(req, [&](Volume& v) -> Status {
    auto removed = v.removexattr(ino, name);
    // Every object has an ACL, be it just its mode: taking it away never fails.
    if (!removed && removed.error().code == ENODATA &&
        std::string_view(name).starts_with("system.posix_acl_"))
      return {};
    return removed;
  });
}

}  // namespace

void add_attribute_operations(fuse_lowlevel_ops& table) {
  table.getattr = getattr;
  table.setattr = setattr;
  table.statfs = statfs;
  table.getxattr = getxattr;
  table.listxattr = listxattr;
  table.removexattr = removexattr;
}

}  // namespace projfs::fuse
