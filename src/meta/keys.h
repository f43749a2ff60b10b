// SPDX-License-Identifier: MIT
//
// Keys of the live, history and changes families. A record's key is
//   project (BE64) | inode (BE64) | kind (1 byte) | rest by kind
// so that all records of an inode are neighbours, and all inodes of a project. No key is a prefix
// of another: names end with a NUL, which no name contains.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "projfs/bytes.h"
#include "projfs/volume.h"

namespace projfs::meta {

using ProjectNo = std::uint64_t;
using Epoch = std::uint64_t;

enum class Kind : std::uint8_t {
  kInode = 'i',
  kXattr = 'x',
  kMap = 'm',
  kName = 'l',  // where a name of an inode is that has had several
  kEntry = 'n',
  kOrphan = 'o',  // under inode 0: one for each inode without a name
};

inline constexpr std::size_t kKeyHead = 17;  // project, inode, kind

inline std::string project_prefix(ProjectNo project) {
  std::string key;
  put_be64(key, project);
  return key;
}

inline std::string key_of(ProjectNo project, Ino ino, Kind kind) {
  std::string key;
  key.reserve(kKeyHead + 24);
  put_be64(key, project);
  put_be64(key, ino);
  put_u8(key, static_cast<std::uint8_t>(kind));
  return key;
}
inline std::string inode_key(ProjectNo project, Ino ino) {
  return key_of(project, ino, Kind::kInode);
}
inline std::string orphan_key(ProjectNo project, Ino ino) {
  auto key = key_of(project, 0, Kind::kOrphan);
  put_be64(key, ino);
  return key;
}
inline std::string xattr_key(ProjectNo project, Ino ino, std::string_view name) {
  auto key = key_of(project, ino, Kind::kXattr);
  key.append(name);
  key.push_back('\0');
  return key;
}
// One for each name of an inode with InodeRecord::kManyNames.
inline std::string name_key(ProjectNo project, Ino ino, Ino dir, std::uint64_t hash) {
  auto key = key_of(project, ino, Kind::kName);
  put_be64(key, dir);
  put_be64(key, hash);
  return key;
}
inline std::string map_key(ProjectNo project, Ino ino, std::uint64_t segment) {
  auto key = key_of(project, ino, Kind::kMap);
  put_be64(key, segment);
  return key;
}
inline std::string entry_key(ProjectNo project, Ino dir, std::uint64_t hash,
                             std::string_view name) {
  auto key = key_of(project, dir, Kind::kEntry);
  put_be64(key, hash);
  key.append(name);
  key.push_back('\0');
  return key;
}
// The first key of `kind` at or after `from` (a hash or a segment number).
inline std::string seek_key(ProjectNo project, Ino ino, Kind kind, std::uint64_t from) {
  auto key = key_of(project, ino, kind);
  put_be64(key, from);
  return key;
}
// The first key after every record of `kind` of the inode.
inline std::string end_key(ProjectNo project, Ino ino, Kind kind) {
  auto key = key_of(project, ino, kind);
  ++key.back();
  return key;
}

struct ParsedKey {
  ProjectNo project = 0;
  Ino ino = 0;
  Kind kind = Kind::kInode;
  std::string_view rest;
  [[nodiscard]] std::uint64_t number() const { return Reader(rest).be64(); }  // map, orphan, entry
  [[nodiscard]] std::string_view name() const {                               // xattr, entry
    auto name = rest;
    if (kind == Kind::kEntry) name.remove_prefix(std::min<std::size_t>(8, name.size()));
    if (!name.empty()) name.remove_suffix(1);
    return name;
  }
};
inline bool parse_key(std::string_view key, ParsedKey& out) {
  if (key.size() < kKeyHead) return false;
  Reader in(key);
  out.project = in.be64();
  out.ino = in.be64();
  out.kind = static_cast<Kind>(in.u8());
  out.rest = in.rest();
  return true;
}

// Project counters (Family::kCounters): 'U' | project.
inline std::string usage_key(ProjectNo project) {
  std::string key = "U";
  put_be64(key, project);
  return key;
}
// Members of a project's counter vector.
enum UsageMember : std::size_t { kUsedBytes = 0, kUsedInodes = 1, kHistoryBytes = 2 };

}  // namespace projfs::meta
