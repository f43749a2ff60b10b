// SPDX-License-Identifier: MIT
#include "meta/snapshot_record.h"

namespace projfs::meta {

std::string SnapshotRecord::encode() const {
  std::string out;
  put_varint(out, 1);  // version of this record
  put_string(out, name);
  put_varint(out, number);
  put_varint(out, flags);
  put_varint(out, zigzag(created_ns));
  put_varint(out, logical_bytes);
  put_varint(out, boundary);
  put_varint(out, inodes);
  return out;
}

std::optional<SnapshotRecord> SnapshotRecord::decode(std::string_view data) {
  Reader in(data);
  SnapshotRecord r;
  if (in.varint() != 1) return std::nullopt;
  r.name = in.string();
  r.number = in.varint();
  r.flags = static_cast<std::uint32_t>(in.varint());
  r.created_ns = in.signed_varint();
  r.logical_bytes = in.varint();
  r.boundary = in.varint();
  r.inodes = in.varint();
  if (!in.done()) return std::nullopt;
  return r;
}

namespace {

Result<SnapshotRecord> decoded(std::string_view data) {
  auto record = SnapshotRecord::decode(data);
  if (!record) return fail(EIO, "a snapshot's record does not decode");
  return std::move(*record);
}

// The snapshot the iterator stands on, if it is one of the project.
Result<std::optional<Snapshot>> snapshot_here(const rocksdb::Iterator& it, ProjectNo project) {
  if (!it.Valid()) {
    PROJFS_TRY(from_rocksdb(it.status(), "reading the table of snapshots"));
    return std::optional<Snapshot>();
  }
  const auto prefix = snapshot_key(project, 0).substr(0, sizeof "snap/" - 1 + 8);
  if (!it.key().starts_with(prefix)) return std::optional<Snapshot>();
  Snapshot found;
  found.epoch = Reader(it.key().ToStringView().substr(prefix.size())).be64();
  PROJFS_ASSIGN(found.record, decoded(it.value().ToStringView()));
  return std::optional<Snapshot>(std::move(found));
}

}  // namespace

Result<std::optional<SnapshotRecord>> get_snapshot(const Database& db, ProjectNo project,
                                                   Epoch epoch) {
  PROJFS_ASSIGN(const auto data, db.get(Family::kSystem, snapshot_key(project, epoch)));
  if (!data) return std::optional<SnapshotRecord>();
  PROJFS_ASSIGN(auto record, decoded(*data));
  return std::optional<SnapshotRecord>(std::move(record));
}

Result<std::optional<Snapshot>> snapshot_at_or_before(const Database& db, ProjectNo project,
                                                      Epoch epoch) {
  const auto it = db.scan(Family::kSystem);
  it->SeekForPrev(snapshot_key(project, epoch));
  return snapshot_here(*it, project);
}

Result<std::optional<Snapshot>> snapshot_at_or_after(const Database& db, ProjectNo project,
                                                     Epoch epoch) {
  const auto it = db.scan(Family::kSystem);
  it->Seek(snapshot_key(project, epoch));
  return snapshot_here(*it, project);
}

Result<bool> any_dead_snapshot(const Database& db, ProjectNo project) {
  const auto end = snapshot_dead_key(project + 1, 0);
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kSystem, &upper);
  it->Seek(snapshot_dead_key(project, 0));
  PROJFS_TRY(from_rocksdb(it->status(), "reading the table of snapshots"));
  return it->Valid();
}

void forget_name(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project,
                 const SnapshotRecord& record) {
  if ((record.flags & SnapshotRecord::kHidden) != 0) return;
  auto* table = db.family(Family::kSystem);
  batch.Delete(table, snapshot_name_key(project, record.name));
  batch.Delete(table, snapshot_number_key(project, record.number));
}

void move_to_dead(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project,
                  const Snapshot& snapshot) {
  auto* table = db.family(Family::kSystem);
  batch.Delete(table, snapshot_key(project, snapshot.epoch));
  forget_name(db, batch, project, snapshot.record);
  batch.Put(table, snapshot_dead_key(project, snapshot.epoch), snapshot.record.encode());
}

}  // namespace projfs::meta
