// SPDX-License-Identifier: MIT
#include "meta/lineage.h"

#include "meta/project_record.h"
#include "meta/snapshot_record.h"

namespace projfs::meta {

std::string BaseRecord::encode() const {
  std::string out;
  put_varint(out, 1);  // version of this record
  put_varint(out, project);
  put_varint(out, epoch);
  put_varint(out, first_own);
  put_u8(out, copied ? 1 : 0);
  put_string(out, position);
  return out;
}

std::optional<BaseRecord> BaseRecord::decode(std::string_view data) {
  Reader in(data);
  BaseRecord r;
  if (in.varint() != 1) return std::nullopt;
  r.project = in.varint();
  r.epoch = in.varint();
  r.first_own = in.varint();
  r.copied = in.u8() != 0;
  r.position = in.string();
  if (!in.done()) return std::nullopt;
  return r;
}

std::string base_key(ProjectNo clone) { return numbered("base/", clone); }

std::string pin_key(ProjectNo parent, Epoch epoch, ProjectNo clone) {
  auto key = snapshot_table_key("base.pin/", parent, epoch);
  put_be64(key, clone);
  return key;
}

Result<std::optional<BaseRecord>> get_base(const Database& db, ProjectNo clone,
                                           const rocksdb::Snapshot* at) {
  PROJFS_ASSIGN(const auto data, db.get(Family::kSystem, base_key(clone), at));
  if (!data) return std::optional<BaseRecord>();
  auto record = BaseRecord::decode(*data);
  if (!record) return fail(EIO, "the record of a clone's base does not decode");
  return record;
}

Result<bool> is_pinned(const Database& db, ProjectNo parent, Epoch epoch, ProjectNo besides) {
  const auto end = epoch == 0 ? pin_key(parent + 1, 0, 0) : pin_key(parent, epoch + 1, 0);
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kSystem, &upper);
  for (it->Seek(pin_key(parent, epoch, 0)); it->Valid(); it->Next()) {
    const auto key = it->key().ToStringView();
    if (Reader(key.substr(key.size() - 8)).be64() != besides) return true;
  }
  PROJFS_TRY(from_rocksdb(it->status(), "looking for clones"));
  return false;
}

Lineage::Lineage(Base base) : owned_(std::move(base)), base_(&owned_) {}

unsigned Lineage::depth() const {
  unsigned n = 0;
  for (const auto* b = base(); b != nullptr; b = b->view.base()) ++n;
  return n;
}

Result<std::shared_ptr<Lineage>> Lineages::of(ProjectNo project) {
  const std::lock_guard lock(mutex_);
  return find(project);
}

// REQUIRES: mutex_
Result<std::shared_ptr<Lineage>> Lineages::find(ProjectNo project) {
  if (const auto it = known_.find(project); it != known_.end()) return it->second;
  PROJFS_ASSIGN(const auto record, get_base(db_, project, at_));
  if (!record || record->copied) return std::shared_ptr<Lineage>();
  PROJFS_ASSIGN(auto beyond, find(record->project));
  auto made = std::make_shared<Lineage>(Base{record->project, record->epoch, record->first_own,
                                             View(db_, record->epoch, std::move(beyond), at_)});
  known_.emplace(project, made);
  return made;
}

void Lineages::forget(ProjectNo project) {
  const std::lock_guard lock(mutex_);
  known_.erase(project);
}

}  // namespace projfs::meta
