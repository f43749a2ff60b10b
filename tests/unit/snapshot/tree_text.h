// SPDX-License-Identifier: MIT
//
// All that a volume shows, as text: two states are the same if their texts are.
#pragma once

#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <algorithm>
#include <string>
#include <vector>

#include "projfs/volume.h"

namespace projfs::testing {

inline std::string content_text(Volume& volume, const Attr& attr) {
  std::string out;
  std::vector<std::uint8_t> bytes(attr.size);
  // In pieces of an odd size, so that reads begin and end anywhere.
  for (std::uint64_t at = 0; at < attr.size;) {
    const auto length = std::min<std::uint64_t>(attr.size - at, 70'001);
    const auto n = volume.read(attr.ino, at, MutableBytes(bytes).subspan(at, length));
    if (!n) return " read: " + n.error().describe();
    if (*n != length) return " short read";
    at += length;
  }
  out += " hash=" + std::to_string(XXH3_64bits(bytes.data(), bytes.size()));
  for (std::uint64_t at = 0; at < attr.size;) {
    const auto data = volume.seek(attr.ino, at, SEEK_DATA);
    if (!data) break;
    const auto hole = volume.seek(attr.ino, *data, SEEK_HOLE);
    if (!hole || *hole <= *data) return out + " seek fails";
    out += " [" + std::to_string(*data) + "," + std::to_string(*hole) + ")";
    at = *hole;
  }
  return out;
}

inline void append_text(Volume& volume, const std::string& path, Ino ino, std::string& out) {
  const auto attr = volume.getattr(ino);
  if (!attr) {
    out += path + ": getattr: " + attr.error().describe() + "\n";
    return;
  }
  const auto time = [](const timespec& t) {
    return std::to_string(t.tv_sec) + "." + std::to_string(t.tv_nsec);
  };
  out += path + " ino=" + std::to_string(ino) + " mode=" + std::to_string(attr->mode) +
         " links=" + std::to_string(attr->nlink) + " owner=" + std::to_string(attr->uid) + ":" +
         std::to_string(attr->gid) + " size=" + std::to_string(attr->size) +
         " allocated=" + std::to_string(attr->allocated) + " mtime=" + time(attr->mtime) +
         " ctime=" + time(attr->ctime) + " atime=" + time(attr->atime);
  auto names = volume.listxattr(ino);
  if (!names) {
    out += " listxattr: " + names.error().describe();
  } else {
    std::sort(names->begin(), names->end());
    for (const auto& n : *names) {
      const auto value = volume.getxattr(ino, n);
      out += " " + n + "=" + (value ? *value : value.error().describe());
    }
  }
  if (S_ISREG(attr->mode)) out += content_text(volume, *attr);
  if (S_ISLNK(attr->mode)) {
    const auto target = volume.readlink(ino);
    out += " -> " + (target ? *target : target.error().describe());
  }
  out += "\n";
  if (!S_ISDIR(attr->mode)) return;
  std::vector<std::pair<std::string, Ino>> entries;
  const auto listed = volume.readdir(ino, 0, true, [&](const DirEntry& e, const Attr* a) {
    if (e.name == "." || e.name == "..") return true;
    if (a != nullptr && (a->ino != e.ino || (a->mode & S_IFMT) != e.type))
      out += path + "/" + std::string(e.name) + ": listed with another's attributes\n";
    entries.emplace_back(e.name, e.ino);
    return true;
  });
  if (!listed) out += path + ": readdir: " + listed.error().describe() + "\n";
  std::sort(entries.begin(), entries.end());
  for (const auto& [name, child] : entries) {
    const auto found = volume.lookup(ino, name);
    if (!found || found->ino != child) out += path + "/" + name + ": look-up differs\n";
    append_text(volume, path + "/" + name, child, out);
  }
}

inline std::string tree_text(Volume& volume) {
  std::string out;
  append_text(volume, "", kRootIno, out);
  return out;
}

}  // namespace projfs::testing
