// SPDX-License-Identifier: MIT
#include "fs/project.h"

#include "meta/cursor.h"
#include "meta/snapshot_record.h"

namespace projfs::fs {
namespace {

constexpr Ino kInoReservation = 1024;

bool add_within(std::atomic<std::uint64_t>& used, std::uint64_t amount, std::uint64_t limit) {
  auto now = used.load(std::memory_order_relaxed);
  do {
    if (amount > limit || now > limit - amount) return amount == 0;
  } while (!used.compare_exchange_weak(now, now + amount, std::memory_order_relaxed));
  return true;
}

}  // namespace

Result<std::shared_ptr<Project>> Project::load(Database& db, meta::ProjectNo number,
                                               std::shared_ptr<meta::Lineage> lineage) {
  std::shared_ptr<Project> self(new Project(db, std::move(lineage)));
  self->number_ = number;
  PROJFS_ASSIGN(const auto data, db.get(Family::kSystem, meta::project_key(number)));
  if (!data) return fail(ENOENT, "no project has the number " + std::to_string(number));
  auto record = meta::ProjectRecord::decode(*data);
  if (!record) {
    return fail(EBADMSG,
                "the record of project number " + std::to_string(number) + " does not decode");
  }
  self->record_ = std::move(*record);
  PROJFS_TRY(self->abandon_unfinished_snapshot(db));
  self->quota_bytes_ = self->record_.quota.bytes;
  self->quota_inodes_ = self->record_.quota.inodes;

  PROJFS_ASSIGN(const auto counters, db.get(Family::kCounters, meta::usage_key(number)));
  if (counters) {
    const auto values = decode_counters(*counters);
    if (!values) return fail(EBADMSG, "the counters of project " + self->id() + " do not decode");
    self->used_bytes_ = static_cast<std::uint64_t>((*values)[meta::kUsedBytes]);
    self->used_inodes_ = static_cast<std::uint64_t>((*values)[meta::kUsedInodes]);
    self->history_bytes_ = (*values)[meta::kHistoryBytes];
  }
  PROJFS_ASSIGN(const bool removing, meta::any_dead_snapshot(db, number));
  self->set_removes_history(removing);
  PROJFS_ASSIGN(const auto reserved, db.get(Family::kSystem, meta::project_ino_key(number)));
  self->reserved_ino_ = reserved ? Reader(*reserved).varint() : kRootIno + 1;
  self->next_ino_ = self->reserved_ino_;

  meta::Cursor at(self->head_, meta::key_of(number, 0, meta::Kind::kOrphan),
                  meta::end_key(number, 0, meta::Kind::kOrphan));
  for (; at.valid(); at.next()) {
    meta::ParsedKey key;
    if (meta::parse_key(at.key(), key)) self->orphans_.insert(key.number());
  }
  PROJFS_TRY(at.status());
  self->orphan_count_ = self->orphans_.size();
  return self;
}

// A crash while the newest snapshot was being made leaves it marked: it may lack data, and nobody
// was told that it exists. Its epoch stays closed; the rest is removed like that of a deleted one.
Status Project::abandon_unfinished_snapshot(Database& db) {
  if (record_.last_snapshot == 0) return {};
  PROJFS_ASSIGN(const auto newest, meta::get_snapshot(db, number_, record_.last_snapshot));
  if (!newest || (newest->flags & meta::SnapshotRecord::kUnfinished) == 0) return {};
  PROJFS_ASSIGN(const auto before,
                meta::snapshot_at_or_before(db, number_, record_.last_snapshot - 1));
  rocksdb::WriteBatch batch;
  meta::move_to_dead(db, batch, number_, {record_.last_snapshot, *newest});
  return set_last_snapshot(db, batch, before ? before->epoch : 0);
}

bool Project::charge(std::uint64_t bytes, std::uint64_t inodes) {
  if (bytes != 0 && !add_within(used_bytes_, bytes, quota_bytes_.load(std::memory_order_relaxed)))
    return false;
  if (inodes != 0 &&
      !add_within(used_inodes_, inodes, quota_inodes_.load(std::memory_order_relaxed))) {
    used_bytes_ -= bytes;
    return false;
  }
  return true;
}

void Project::refund(std::uint64_t bytes, std::uint64_t inodes) {
  if (bytes != 0) used_bytes_ -= bytes;
  if (inodes != 0) used_inodes_ -= inodes;
}

void Project::hold_data() {
  const std::lock_guard lock(held_mutex_);
  held_ = true;
}

void Project::release_data() {
  {
    const std::lock_guard lock(held_mutex_);
    held_ = false;
  }
  released_.notify_all();
}

void Project::wait_while_held() const {
  if (!held_.load(std::memory_order_relaxed)) [[likely]]
    return;
  std::unique_lock lock(held_mutex_);
  released_.wait(lock, [this] { return !held_; });
}

Quota Project::quota() const {
  const std::lock_guard lock(record_mutex_);
  return record_.quota;
}

Status Project::set_quota(Database& db, const Quota& quota) {
  const std::lock_guard lock(record_mutex_);
  auto next = record_;
  next.quota = quota;
  rocksdb::WriteBatch batch;
  batch.Put(db.family(Family::kSystem), meta::project_key(number_), next.encode());
  PROJFS_TRY(db.commit(batch, true));
  record_.quota = quota;
  quota_bytes_ = quota.bytes;
  quota_inodes_ = quota.inodes;
  return {};
}

Result<meta::EpochState> Project::epochs_at(const Database& db, meta::Epoch epoch) const {
  if (epoch == record_.epoch) return epochs();
  PROJFS_ASSIGN(const auto before, meta::snapshot_at_or_before(db, number_, epoch - 1));
  return meta::EpochState{epoch, before ? before->epoch : 0, removes_history_};
}

Result<meta::Epoch> Project::epoch_of(const Database& db, StageSeq seq) const {
  meta::Epoch epoch = record_.epoch;
  while (true) {
    PROJFS_ASSIGN(const auto before, meta::snapshot_at_or_before(db, number_, epoch - 1));
    if (!before || before->record.boundary < seq) return epoch;
    epoch = before->epoch;
  }
}

// REQUIRES: quiesce is held alone.
Status Project::change_record(Database& db, rocksdb::WriteBatch& batch, meta::ProjectRecord next) {
  batch.Put(db.family(Family::kSystem), meta::project_key(number_), next.encode());
  PROJFS_TRY(db.commit(batch));
  record_.epoch = next.epoch;
  record_.last_snapshot = next.last_snapshot;
  if (record_.last_snapshot != 0) keeps_history_ = true;
  return {};
}

Status Project::close_epoch(Database& db, rocksdb::WriteBatch& batch, bool snapshot) {
  const std::lock_guard lock(record_mutex_);
  auto next = record_;
  if (snapshot) next.last_snapshot = next.epoch;
  ++next.epoch;
  return change_record(db, batch, std::move(next));
}

Status Project::set_last_snapshot(Database& db, rocksdb::WriteBatch& batch, meta::Epoch epoch) {
  const std::lock_guard lock(record_mutex_);
  auto next = record_;
  next.last_snapshot = epoch;
  return change_record(db, batch, std::move(next));
}

Result<Ino> Project::next_ino(Database& db) {
  const std::lock_guard lock(ino_mutex_);
  if (next_ino_ == reserved_ino_) {
    // Committed before any batch that uses one of these numbers, so it is durable before them too.
    std::string value;
    put_varint(value, reserved_ino_ + kInoReservation);
    rocksdb::WriteBatch batch;
    batch.Put(db.family(Family::kSystem), meta::project_ino_key(number_), value);
    PROJFS_TRY(db.commit(batch));
    reserved_ino_ += kInoReservation;
  }
  return next_ino_++;
}

void Project::add_orphan(Ino ino) {
  const std::lock_guard lock(orphan_mutex_);
  orphans_.insert(ino);
  orphan_count_ = orphans_.size();
}

void Project::remove_orphan(Ino ino) {
  const std::lock_guard lock(orphan_mutex_);
  orphans_.erase(ino);
  orphan_count_ = orphans_.size();
}

bool Project::is_orphan(Ino ino) const {
  if (orphan_count_.load(std::memory_order_relaxed) == 0) return false;
  const std::lock_guard lock(orphan_mutex_);
  return orphans_.contains(ino);
}

std::vector<Ino> Project::orphans() const {
  const std::lock_guard lock(orphan_mutex_);
  return {orphans_.begin(), orphans_.end()};
}

}  // namespace projfs::fs
