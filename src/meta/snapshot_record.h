// SPDX-License-Identifier: MIT
//
// The table of a project's snapshots, in Family::kSystem. Epochs and numbers grow together, so the
// order of the keys is the order in which snapshots were made:
//   "snap/" project, epoch (BE64)         -> SnapshotRecord
//   "snap.name/" project (BE64), name     -> epoch (BE64)
//   "snap.number/" project, number (BE64) -> epoch (BE64)
//   "snap.next/" project (BE64)           -> the next snapshot's number (varint)
//   "snap.dead/" project, epoch (BE64)    -> SnapshotRecord: deleted, its history is being removed
//   "snap.policy/" project (BE64)         -> the project's policy
// Counters (Family::kCounters): 'F' | project | epoch -> [history bytes that only this one keeps].
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "projfs/database.h"
#include "projfs/stage.h"

namespace projfs::meta {

struct SnapshotRecord {
  enum Flag : std::uint32_t {
    kHeld = 1,
    kAutomatic = 2,
    kUnfinished = 4,  // what it holds may not be durable yet; after a crash it never was
    // Only clones need it: without a name and a number, until they do no longer.
    kHidden = 8,
  };
  std::string name;
  std::uint64_t number = 0;
  std::uint32_t flags = 0;
  std::int64_t created_ns = 0;
  std::uint64_t logical_bytes = 0;  // in use when it was made
  StageSeq boundary = 0;            // staged records of the project up to here belong to it
  std::uint64_t inodes = 0;         // as logical_bytes

  // Shown to users.
  [[nodiscard]] bool is_listed() const { return (flags & (kUnfinished | kHidden)) == 0; }

  [[nodiscard]] std::string encode() const;
  static std::optional<SnapshotRecord> decode(std::string_view data);
};

inline std::string snapshot_table_key(std::string_view table, ProjectNo project,
                                      std::uint64_t number) {
  std::string key(table);
  put_be64(key, project);
  put_be64(key, number);
  return key;
}
inline std::string snapshot_key(ProjectNo project, Epoch epoch) {
  return snapshot_table_key("snap/", project, epoch);
}
inline std::string snapshot_number_key(ProjectNo project, std::uint64_t number) {
  return snapshot_table_key("snap.number/", project, number);
}
inline std::string snapshot_dead_key(ProjectNo project, Epoch epoch) {
  return snapshot_table_key("snap.dead/", project, epoch);
}
inline std::string snapshot_name_key(ProjectNo project, std::string_view name) {
  std::string key = "snap.name/";
  put_be64(key, project);
  return key.append(name);
}
inline std::string snapshot_next_key(ProjectNo project) {
  std::string key = "snap.next/";
  put_be64(key, project);
  return key;
}
inline std::string snapshot_policy_key(ProjectNo project) {
  std::string key = "snap.policy/";
  put_be64(key, project);
  return key;
}
inline std::string freed_key(ProjectNo project, Epoch epoch) {
  return snapshot_table_key("F", project, epoch);
}

struct Snapshot {
  Epoch epoch = 0;
  SnapshotRecord record;
};

// One snapshot; nullopt: there is none of this epoch.
[[nodiscard]] Result<std::optional<SnapshotRecord>> get_snapshot(const Database& db,
                                                                 ProjectNo project, Epoch epoch);
// The newest snapshot of an epoch at or before `epoch`, and the oldest at or after it.
[[nodiscard]] Result<std::optional<Snapshot>> snapshot_at_or_before(const Database& db,
                                                                    ProjectNo project, Epoch epoch);
[[nodiscard]] Result<std::optional<Snapshot>> snapshot_at_or_after(const Database& db,
                                                                   ProjectNo project, Epoch epoch);

// Whether any deleted snapshot's history is still being removed.
[[nodiscard]] Result<bool> any_dead_snapshot(const Database& db, ProjectNo project);

// In `batch`: the snapshot is not found by its name and number any more.
void forget_name(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project,
                 const SnapshotRecord& record);
// In `batch`: the snapshot is no longer one, its history is to be removed.
void move_to_dead(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project,
                  const Snapshot& snapshot);

}  // namespace projfs::meta
