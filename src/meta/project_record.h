// SPDX-License-Identifier: MIT
//
// The project table, in Family::kSystem:
//   "project.id/" id          -> number (BE64)
//   "project/" number (BE64)  -> ProjectRecord
//   "project.next"            -> the next number (varint)
//   "project.ino/" number     -> inode numbers below this may be in use (varint)
//   "project.dead/" number    -> empty: destroyed, its records are being removed
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "projfs/store.h"

namespace projfs::meta {

struct ProjectRecord {
  std::string id;
  std::int64_t created_ns = 0;
  std::uint64_t generation = 1;
  Epoch epoch = 1;
  Epoch last_snapshot = 0;
  std::uint32_t uid = 0, gid = 0;
  DedupMode dedup = DedupMode::kStore;
  Quota quota;
  std::uint64_t name_seed = 0;  // of the hash that orders directory entries
  std::string dedup_key;        // of DedupMode::kProject

  [[nodiscard]] std::string encode() const;
  static std::optional<ProjectRecord> decode(std::string_view data);
};

inline std::string project_id_key(std::string_view id) { return "project.id/" + std::string(id); }
inline std::string numbered(std::string_view prefix, ProjectNo number) {
  std::string key(prefix);
  put_be64(key, number);
  return key;
}
inline std::string project_key(ProjectNo n) { return numbered("project/", n); }
inline std::string project_ino_key(ProjectNo n) { return numbered("project.ino/", n); }
inline std::string project_dead_key(ProjectNo n) { return numbered("project.dead/", n); }
inline constexpr std::string_view kProjectNextKey = "project.next";
inline constexpr std::string_view kBootKey = "boot";

}  // namespace projfs::meta
