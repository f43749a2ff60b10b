// SPDX-License-Identifier: MIT
#include "meta/inode_record.h"

#include <sys/stat.h>

#include "projfs/bytes.h"

namespace projfs::meta {
namespace {

// Seconds relative to the birth time: mostly one byte instead of five.
void put_time(std::string& out, const timespec& t, std::int64_t base) {
  put_varint(out, zigzag(t.tv_sec - base));
  put_varint(out, static_cast<std::uint64_t>(t.tv_nsec));
}
timespec get_time(Reader& in, std::int64_t base) {
  timespec t{};
  t.tv_sec = base + in.signed_varint();
  t.tv_nsec = static_cast<long>(in.varint());
  return t;
}
bool same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

std::string InodeRecord::encode() const {
  std::string out;
  out.reserve(80 + target.size());
  put_varint(out, mode);
  put_varint(out, nlink);
  put_varint(out, uid);
  put_varint(out, gid);
  put_varint(out, flags);
  put_time(out, btime, 0);
  put_time(out, atime, btime.tv_sec);
  put_time(out, mtime, btime.tv_sec);
  put_time(out, ctime, btime.tv_sec);
  put_varint(out, attr_floor);
  put_varint(out, parent);
  put_le64(out, name_hash);
  switch (mode & S_IFMT) {
    case S_IFREG:
      put_varint(out, size);
      put_varint(out, allocated / kBlock);
      put_varint(out, data_floor);
      break;
    case S_IFDIR:
      put_varint(out, entries);
      break;
    case S_IFLNK:
      put_string(out, target);
      break;
    default:
      put_varint(out, rdev);
  }
  return out;
}

std::optional<InodeRecord> InodeRecord::decode(std::string_view data) {
  Reader in(data);
  InodeRecord r;
  r.mode = static_cast<std::uint32_t>(in.varint());
  r.nlink = static_cast<std::uint32_t>(in.varint());
  r.uid = static_cast<std::uint32_t>(in.varint());
  r.gid = static_cast<std::uint32_t>(in.varint());
  r.flags = static_cast<std::uint32_t>(in.varint());
  r.btime = get_time(in, 0);
  r.atime = get_time(in, r.btime.tv_sec);
  r.mtime = get_time(in, r.btime.tv_sec);
  r.ctime = get_time(in, r.btime.tv_sec);
  r.attr_floor = in.varint();
  r.parent = in.varint();
  r.name_hash = in.le64();
  switch (r.mode & S_IFMT) {
    case S_IFREG:
      r.size = in.varint();
      r.allocated = in.varint() * kBlock;
      r.data_floor = in.varint();
      break;
    case S_IFDIR:
      r.entries = in.varint();
      break;
    case S_IFLNK:
      r.target = in.string();
      r.size = r.target.size();
      break;
    default:
      r.rdev = in.varint();
  }
  if (!in.done()) return std::nullopt;
  return r;
}

bool operator==(const InodeRecord& a, const InodeRecord& b) {
  return a.mode == b.mode && a.nlink == b.nlink && a.uid == b.uid && a.gid == b.gid &&
         a.flags == b.flags && a.rdev == b.rdev && a.size == b.size && a.allocated == b.allocated &&
         a.entries == b.entries && a.parent == b.parent && a.name_hash == b.name_hash &&
         same(a.atime, b.atime) && same(a.mtime, b.mtime) && same(a.ctime, b.ctime) &&
         same(a.btime, b.btime) && a.target == b.target && a.data_floor == b.data_floor &&
         a.attr_floor == b.attr_floor;
}

}  // namespace projfs::meta
