// SPDX-License-Identifier: MIT
//
// What clones ask of the snapshots of the project that they come from.
#include "fs/ingester.h"
#include "meta/lineage.h"
#include "snapshot/project_snapshots.h"

namespace projfs::snapshot {

using meta::SnapshotRecord;

Status ProjectSnapshots::with_base(std::string_view name, const Use& use) {
  const auto number = project_->number();
  auto& db = engine_.db;
  const std::lock_guard lock(mutex_);
  std::optional<meta::Snapshot> at;
  bool closed = false;
  if (!name.empty()) {
    PROJFS_ASSIGN(at, get(name));
  } else {
    PROJFS_ASSIGN(at, newest_before_changes(true));
  }
  if (!at) {
    PROJFS_TRY(check_history_quota());
    at.emplace();
    at->record.flags = SnapshotRecord::kHidden | SnapshotRecord::kUnfinished;
    const std::unique_lock alone(project_->quiesce);
    rocksdb::WriteBatch batch;
    PROJFS_TRY(close_with(batch, *at));
    closed = true;
  }
  // Writers go on meanwhile, in the next epoch.
  auto status = engine_.ingester->ingest_project(number, at->epoch);
  if (status) {
    rocksdb::WriteBatch batch;
    if (closed) {
      at->record.flags = SnapshotRecord::kHidden;
      batch.Put(db.family(Family::kSystem), meta::snapshot_key(number, at->epoch),
                at->record.encode());
    }
    status = use(*at, batch);
  }
  if (!status && closed) {
    rocksdb::WriteBatch batch;
    PROJFS_TRY(drop(batch, *at));
    deleted_();
  }
  return status;
}

Status ProjectSnapshots::release_base(meta::Epoch epoch, meta::ProjectNo clone,
                                      rocksdb::WriteBatch& batch, const Around& around) {
  const auto number = project_->number();
  auto& db = engine_.db;
  const std::lock_guard lock(mutex_);
  batch.Delete(db.family(Family::kSystem), meta::pin_key(number, epoch, clone));
  PROJFS_ASSIGN(const bool needed, meta::is_pinned(db, number, epoch, clone));
  PROJFS_ASSIGN(const auto record, meta::get_snapshot(db, number, epoch));
  if (needed || !record || (record->flags & SnapshotRecord::kHidden) == 0)
    return around([&] { return db.commit(batch); });
  {
    const std::unique_lock alone(project_->quiesce);
    PROJFS_TRY(around([&] { return commit_drop(batch, {epoch, *record}); }));
  }
  deleted_();
  return {};
}

}  // namespace projfs::snapshot
