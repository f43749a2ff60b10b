// SPDX-License-Identifier: MIT
//
// Listings of directories. The cookies are the volume's and hold for ever.
#include <algorithm>

#include "fuse/answer.h"
#include "fuse/operations.h"

namespace projfs::fuse {
namespace {

// Fills the thread's buffer with entries until the next would not fit.
template <class Append>
Result<Payload> list(Volume& v, Ino dir, std::size_t size, off_t cookie, bool want_attr,
                     Append&& append) {
  const auto room = context().scratch.first(std::min(size, context().scratch.size()));
  std::size_t used = 0;
  std::string name;
  PROJFS_TRY(v.readdir(dir, static_cast<std::uint64_t>(cookie), want_attr,
                       [&](const DirEntry& found, const Attr* attr) {
                         name = found.name;
                         const auto left = room.subspan(used);
                         const std::size_t n = append(left, name, found, attr);
                         if (n > left.size()) return false;
                         used += n;
                         return true;
                       }));
  return Payload{room.first(used)};
}

void readdir(fuse_req_t req, fuse_ino_t dir, std::size_t size, off_t cookie,
             fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) {
    return list(v, dir, size, cookie, false,
                [&](MutableBytes out, const std::string& name, const DirEntry& found,
                    const Attr* /*attr*/) {
                  struct stat st {};
                  st.st_ino = found.ino;
                  st.st_mode = found.type;
                  return fuse_add_direntry(req, reinterpret_cast<char*>(out.data()), out.size(),
                                           name.c_str(), &st,
                                           static_cast<off_t>(found.next_cookie));
                });
  });
}

void readdirplus(fuse_req_t req, fuse_ino_t dir, std::size_t size, off_t cookie,
                 fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) {
    return list(
        v, dir, size, cookie, true,
        [&](MutableBytes out, const std::string& name, const DirEntry& found, const Attr* attr) {
          // Without attributes ("." and "..") the kernel takes the name and looks up nothing.
          fuse_entry_param e{};
          if (attr) {
            e = to_entry(*attr);
          } else {
            e.attr.st_ino = found.ino;
            e.attr.st_mode = found.type;
          }
          return fuse_add_direntry_plus(req, reinterpret_cast<char*>(out.data()), out.size(),
                                        name.c_str(), &e, static_cast<off_t>(found.next_cookie));
        });
  });
}

void fsyncdir(fuse_req_t req, fuse_ino_t dir, int data_only, fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) { return v.fsync(dir, data_only != 0); });
}

}  // namespace

void add_directory_operations(fuse_lowlevel_ops& table) {
  table.readdir = readdir;
  table.readdirplus = readdirplus;
  table.fsyncdir = fsyncdir;
}

fuse_lowlevel_ops lowlevel_operations() {
  fuse_lowlevel_ops table{};
  add_name_operations(table);
  add_attribute_operations(table);
  add_data_operations(table);
  add_directory_operations(table);
  return table;
}

}  // namespace projfs::fuse
