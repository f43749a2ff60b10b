// SPDX-License-Identifier: MIT
//
// Clones: made in one batch, and made independent of their base in the background once nobody else
// has that base, or one stands behind another.
#include <ctime>

#include "host/local_store.h"
#include "meta/lineage.h"
#include "projfs/log.h"

namespace projfs::host {
namespace {

constexpr Family kTable = Family::kSystem;
// A clone with more bases than this, one behind the other, is to stand on its own.
constexpr unsigned kMostBases = 3;

}  // namespace

Result<ProjectInfo> LocalStore::clone(std::string_view source, std::string_view snapshot,
                                      std::string_view id) {
  PROJFS_ASSIGN(const auto from, find(source));
  if (!space_->has_room(kBlock)) {
    return fail(ENOSPC, "the store's disk is full down to the reserve: no project can be made");
  }
  std::shared_ptr<snapshot::ProjectSnapshots> snapshots;
  {
    const std::lock_guard lock(table_mutex_);
    PROJFS_TRY(new_number(id));
    snapshots = snapshots_of(from);
  }
  meta::ProjectNo number = 0;
  const auto make = [&](const meta::Snapshot& at, rocksdb::WriteBatch& batch) -> Status {
    const std::lock_guard lock(table_mutex_);
    PROJFS_ASSIGN(number, new_number(id));
    PROJFS_TRY(put_clone(batch, number, id, *from, at));
    return db_->commit(batch, true);
  };
  PROJFS_TRY(snapshots->with_base(snapshot, make));
  look_for_clones_ = true;
  wake_.notify_all();
  const std::lock_guard lock(table_mutex_);
  PROJFS_ASSIGN(const auto project, load(number));
  return info(*project);
}

Status LocalStore::put_clone(rocksdb::WriteBatch& batch, meta::ProjectNo number,
                             std::string_view id, const fs::Project& source,
                             const meta::Snapshot& at) {
  const auto parent = source.number();
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  meta::ProjectRecord record = source.record();
  record.id = id;
  record.created_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
  record.generation = 1;
  record.epoch = 1;
  record.last_snapshot = 0;
  record.quota = source.quota();
  put_project(batch, number, record);

  // Numbers that the source may have given out: the clone's own begin above them.
  PROJFS_ASSIGN(const auto reserved, db_->get(kTable, meta::project_ino_key(parent)));
  meta::BaseRecord base;
  base.project = parent;
  base.epoch = at.epoch;
  base.first_own = reserved ? Reader(*reserved).varint() : kRootIno + 1;
  batch.Put(db_->family(kTable), meta::base_key(number), base.encode());
  batch.Put(db_->family(kTable), meta::pin_key(parent, at.epoch, number), {});
  std::string value;
  put_varint(value, base.first_own);
  batch.Put(db_->family(kTable), meta::project_ino_key(number), value);

  PROJFS_ASSIGN(const auto policy, db_->get(kTable, meta::snapshot_policy_key(parent)));
  if (policy) batch.Put(db_->family(kTable), meta::snapshot_policy_key(number), *policy);
  CounterVector usage{};
  usage[meta::kUsedBytes] = static_cast<std::int64_t>(at.record.logical_bytes);
  usage[meta::kUsedInodes] = static_cast<std::int64_t>(at.record.inodes);
  batch.Merge(db_->family(Family::kCounters), meta::usage_key(number), encode_counters(usage));
  return {};
}

// What it shares with a snapshot that is there for its own sake may stay shared.
Result<bool> LocalStore::wants_flattening(meta::ProjectNo clone, const meta::BaseRecord& base) {
  PROJFS_ASSIGN(const auto self, db_->get(kTable, meta::project_key(clone)));
  if (!self) return false;  // it is being removed, with all it has
  if (base.copied) return true;
  PROJFS_ASSIGN(const auto parent, db_->get(kTable, meta::project_key(base.project)));
  if (!parent) return true;
  PROJFS_ASSIGN(const auto at, meta::get_snapshot(*db_, base.project, base.epoch));
  if (!at || !at->is_listed()) return true;
  PROJFS_ASSIGN(const auto lineage, lineages_->of(clone));
  return lineage && lineage->depth() > kMostBases;
}

Result<std::optional<meta::ProjectNo>> LocalStore::next_to_flatten() {
  const std::string begin = "base/", end = "base0";
  const rocksdb::Slice upper(end);
  const auto it = db_->scan(kTable, &upper);
  for (it->Seek(begin); it->Valid(); it->Next()) {
    const auto clone = Reader(it->key().ToStringView().substr(begin.size())).be64();
    const auto base = meta::BaseRecord::decode(it->value().ToStringView());
    if (!base) return fail(EIO, "the record of a clone's base does not decode");
    PROJFS_ASSIGN(const bool wants, wants_flattening(clone, *base));
    if (wants) return std::optional(clone);
  }
  PROJFS_TRY(from_rocksdb(it->status(), "looking for clones"));
  return std::optional<meta::ProjectNo>();
}

Result<bool> LocalStore::flatten_some() {
  const std::lock_guard lock(remover_mutex_);
  if (!flattener_) {
    if (!look_for_clones_.exchange(false)) return false;
    PROJFS_ASSIGN(const auto next, next_to_flatten());
    if (!next) return false;
    look_for_clones_ = true;
    const std::lock_guard table(table_mutex_);
    PROJFS_ASSIGN(const auto project, load(*next));
    flattener_ = std::make_unique<snapshot::Flattener>(*engine_, project);
  }
  const auto project = flattener_->project();
  const auto number = project->number();
  PROJFS_ASSIGN(const auto base, meta::get_base(*db_, number));
  bool done = !base;
  if (base && !base->copied) {
    PROJFS_ASSIGN(const bool copied, flattener_->copy());
    if (copied) {
      auto next = *base;
      next.copied = true;
      next.position.clear();
      rocksdb::WriteBatch batch;
      batch.Put(db_->family(kTable), meta::base_key(number), next.encode());
      PROJFS_TRY(release_base(number, *base, batch, project.get()));
      log::info("project {} stands on its own now", project->id());
    }
  } else if (base) {
    PROJFS_ASSIGN(done, flattener_->sweep());
  }
  if (done) {
    flattener_.reset();
    lineages_->forget(number);
  }
  return true;
}

Status LocalStore::release_base(meta::ProjectNo clone, const meta::BaseRecord& base,
                                rocksdb::WriteBatch& batch, fs::Project* project) {
  const auto around = [&](const std::function<Status()>& commit) -> Status {
    if (project == nullptr) return commit();
    const std::unique_lock alone(project->quiesce);
    PROJFS_TRY(commit());
    if (project->lineage()) project->lineage()->cut();
    return {};
  };
  std::shared_ptr<snapshot::ProjectSnapshots> parent;
  {
    const std::lock_guard lock(table_mutex_);
    auto found = load(base.project);
    if (!found && found.error().code != ENOENT)
      return tl::unexpected<Error>(std::move(found).error());
    if (found) parent = snapshots_of(*found);
  }
  if (parent) return parent->release_base(base.epoch, clone, batch, around);
  // Destroyed: without the pin all of it can go.
  batch.Delete(db_->family(kTable), meta::pin_key(base.project, base.epoch, clone));
  return around([&] { return db_->commit(batch); });
}

}  // namespace projfs::host
