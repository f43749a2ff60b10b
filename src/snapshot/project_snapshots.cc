// SPDX-License-Identifier: MIT
#include "snapshot/project_snapshots.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "fs/ingester.h"
#include "meta/lineage.h"
#include "projfs/store.h"
#include "snapshot/diff.h"
#include "snapshot/retention.h"
#include "snapshot/rollback.h"

namespace projfs::snapshot {
namespace {

using meta::Epoch;
using meta::SnapshotRecord;

constexpr Family kTable = Family::kSystem;

std::string in_quotes(std::string_view name) { return "\"" + std::string(name) + "\""; }

Status check_name(std::string_view name) {
  if (name.size() > kMaxName) {
    return fail(ENAMETOOLONG, "a snapshot's name is at most " + std::to_string(kMaxName) +
                                  " bytes long, this one has " + std::to_string(name.size()));
  }
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos ||
      name.find('\0') != name.npos) {
    return fail(EINVAL, in_quotes(name) +
                            " is no name for a snapshot: it must not be empty, \".\" or \"..\" nor "
                            "contain a slash");
  }
  return {};
}

std::string epoch_value(Epoch epoch) {
  std::string value;
  put_be64(value, epoch);
  return value;
}

class DataHold {
 public:
  explicit DataHold(fs::Project& project) : project_(project) { project_.hold_data(); }
  ~DataHold() { project_.release_data(); }
  DataHold(const DataHold&) = delete;
  DataHold& operator=(const DataHold&) = delete;

 private:
  fs::Project& project_;
};

void set_flag(SnapshotRecord& record, std::uint32_t flag, bool on) {
  record.flags = on ? record.flags | flag : record.flags & ~flag;
}

}  // namespace

Result<std::optional<Epoch>> ProjectSnapshots::epoch_of_key(const std::string& key) {
  PROJFS_ASSIGN(const auto value, engine_.db.get(kTable, key));
  if (!value) return std::optional<Epoch>();
  return std::optional<Epoch>(Reader(*value).be64());
}

Result<meta::Snapshot> ProjectSnapshots::get(std::string_view name) {
  PROJFS_ASSIGN(const auto epoch, epoch_of_key(meta::snapshot_name_key(project_->number(), name)));
  if (epoch) {
    PROJFS_ASSIGN(auto record, meta::get_snapshot(engine_.db, project_->number(), *epoch));
    if (record && record->is_listed()) return meta::Snapshot{*epoch, std::move(*record)};
  }
  return fail(ENOENT, "project " + project_->id() + " has no snapshot " + in_quotes(name));
}

Result<SnapshotInfo> ProjectSnapshots::info(const meta::Snapshot& snapshot) const {
  const auto& r = snapshot.record;
  SnapshotInfo out;
  out.name = r.name;
  out.created_ns = r.created_ns;
  out.epoch = snapshot.epoch;
  out.number = r.number;
  out.held = (r.flags & SnapshotRecord::kHeld) != 0;
  out.automatic = (r.flags & SnapshotRecord::kAutomatic) != 0;
  out.logical_bytes = r.logical_bytes;
  PROJFS_ASSIGN(
      const auto value,
      engine_.db.get(Family::kCounters, meta::freed_key(project_->number(), snapshot.epoch)));
  const auto freed = decode_counters(value.value_or(std::string()));
  if (!freed) return fail(EIO, "the counters of a snapshot do not decode");
  // What clones need stays when the snapshot is deleted.
  PROJFS_ASSIGN(const bool needed, meta::is_pinned(engine_.db, project_->number(), snapshot.epoch));
  if (needed) return out;
  out.freed_if_deleted_bytes = static_cast<std::uint64_t>((*freed)[0]);
  return out;
}

Status ProjectSnapshots::check_new_name(std::string_view name) {
  PROJFS_TRY(check_name(name));
  PROJFS_ASSIGN(const auto taken, epoch_of_key(meta::snapshot_name_key(project_->number(), name)));
  if (!taken) return {};
  return fail(EEXIST,
              "project " + project_->id() + " has a snapshot " + in_quotes(name) + " already");
}

Result<std::string> ProjectSnapshots::free_name(std::string_view wanted,
                                                const std::string& otherwise) {
  if (!wanted.empty()) {
    PROJFS_TRY(check_new_name(wanted));
    return std::string(wanted);
  }
  std::string name = otherwise;
  for (unsigned n = 2;; ++n) {
    PROJFS_ASSIGN(const auto taken,
                  epoch_of_key(meta::snapshot_name_key(project_->number(), name)));
    if (!taken) return name;
    name = otherwise + "-" + std::to_string(n);
  }
}

Status ProjectSnapshots::check_history_quota() {
  const auto limit = history_limit(project_->quota());
  const auto use = project_->usage().history_bytes;
  if (use < limit) return {};
  std::vector<SnapshotInfo> largest;
  PROJFS_TRY(each(0, [&](const SnapshotInfo& s) {
    largest.push_back(s);
    std::sort(largest.begin(), largest.end(), [](const SnapshotInfo& a, const SnapshotInfo& b) {
      return a.freed_if_deleted_bytes > b.freed_if_deleted_bytes;
    });
    if (largest.size() > 3) largest.pop_back();
    return true;
  }));
  std::string which;
  for (const auto& s : largest) {
    which += (which.empty() ? "" : ", ") + in_quotes(s.name) + " (" +
             std::to_string(s.freed_if_deleted_bytes) + " bytes)";
  }
  return fail(EDQUOT, "the snapshots of project " + project_->id() + " keep " +
                          std::to_string(use) + " bytes of history, the limit is " +
                          std::to_string(limit) + "; deleting these frees most: " + which);
}

Result<meta::Snapshot> ProjectSnapshots::draft(std::string_view name, const std::string& prefix) {
  PROJFS_TRY(check_history_quota());
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  meta::Snapshot made;
  auto& record = made.record;
  record.created_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
  PROJFS_ASSIGN(record.name, free_name(name, prefix + automatic_name(record.created_ns)));
  PROJFS_ASSIGN(const auto next,
                engine_.db.get(kTable, meta::snapshot_next_key(project_->number())));
  record.number = next ? Reader(*next).varint() : 1;
  return made;
}

Status ProjectSnapshots::close_with(rocksdb::WriteBatch& batch, meta::Snapshot& made) {
  const auto number = project_->number();
  auto& db = engine_.db;
  auto& record = made.record;
  made.epoch = project_->epochs().current;
  record.boundary = engine_.stage.last_seq();
  record.logical_bytes = project_->usage().bytes;
  record.inodes = project_->usage().inodes;
  batch.Put(db.family(kTable), meta::snapshot_key(number, made.epoch), record.encode());
  if ((record.flags & SnapshotRecord::kHidden) != 0) return project_->close_epoch(db, batch, true);
  std::string next;
  put_varint(next, record.number + 1);
  const auto value = epoch_value(made.epoch);
  batch.Put(db.family(kTable), meta::snapshot_name_key(number, record.name), value);
  batch.Put(db.family(kTable), meta::snapshot_number_key(number, record.number), value);
  batch.Put(db.family(kTable), meta::snapshot_next_key(number), next);
  return project_->close_epoch(db, batch, true);
}

Result<SnapshotInfo> ProjectSnapshots::create(std::string_view name, bool automatic) {
  const auto number = project_->number();
  auto& db = engine_.db;
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(auto made, draft(name, {}));
  auto& record = made.record;
  record.flags = SnapshotRecord::kUnfinished | (automatic ? SnapshotRecord::kAutomatic : 0u);
  PROJFS_TRY(engine_.stage.sync_all());
  {
    const auto begin = std::chrono::steady_clock::now();
    const std::unique_lock alone(project_->quiesce);
    rocksdb::WriteBatch batch;
    PROJFS_TRY(close_with(batch, made));
    pauses_.add(static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count()));
  }
  PROJFS_TRY(engine_.stage.sync_all());
  set_flag(record, SnapshotRecord::kUnfinished, false);
  rocksdb::WriteBatch batch;
  batch.Put(db.family(kTable), meta::snapshot_key(number, made.epoch), record.encode());
  engine_.answers.note(batch);
  PROJFS_TRY(db.commit(batch, true));
  return info(made);
}

Result<SnapshotInfo> ProjectSnapshots::rollback(std::string_view name, const Changed& changed) {
  PROJFS_ASSIGN(const auto kept, roll_back(name));
  PROJFS_TRY(engine_.index_sync.sync());
  if (!project_->orphans().empty()) orphaned_();
  if (changed) PROJFS_TRY(tell(kept.epoch + 1, changed));
  return info(kept);
}

Result<meta::Snapshot> ProjectSnapshots::roll_back(std::string_view name) {
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(const auto target, get(name));
  PROJFS_ASSIGN(auto kept, draft({}, "before-rollback-"));
  Rollback work(engine_, project_);
  const DataHold no_data(*project_);
  const std::lock_guard no_renames(project_->rename_mutex);
  while (true) {
    // Changes of data that had begun are ingested too, so that the epoch is closed with all of it
    // in the index; a few may take another round.
    PROJFS_TRY(engine_.ingester->ingest_project(project_->number(), ~Epoch{0}));
    const std::unique_lock alone(project_->quiesce);
    if (engine_.ingester->anything_staged(project_->number())) continue;
    rocksdb::WriteBatch batch;
    work.order(batch, target.epoch);
    PROJFS_TRY(close_with(batch, kept));
    if (auto status = work.run(); !status) {
      PROJFS_TRY(work.cancel());
      return fail(status.error().code, "the rollback failed on the way (" +
                                           status.error().describe() +
                                           "): what it had not reached is as it was, and all is in "
                                           "the snapshot " +
                                           in_quotes(kept.record.name));
    }
    return kept;
  }
}

// What was undone is in the list of the epoch in which it was.
Status ProjectSnapshots::tell(Epoch epoch, const Changed& changed) {
  const auto number = project_->number();
  const auto end = meta::change_key(number, epoch + 1, meta::project_prefix(0));
  const rocksdb::Slice upper(end);
  const auto it = engine_.db.scan(Family::kChanges, &upper);
  Ino last = 0;
  for (it->Seek(meta::change_key(number, epoch, meta::project_prefix(0))); it->Valid();
       it->Next()) {
    const auto key = meta::project_prefix(number).append(it->key().ToStringView().substr(16));
    meta::ParsedKey parsed;
    if (!meta::parse_key(key, parsed)) return fail(EIO, "a list of changes does not decode");
    if (parsed.kind == meta::Kind::kEntry) {
      changed(parsed.ino, parsed.name());
    } else if (parsed.ino != 0 && parsed.ino != last) {
      changed(parsed.ino, {});
      last = parsed.ino;
    }
  }
  return from_rocksdb(it->status(), "reading a list of changes");
}

Result<bool> ProjectSnapshots::changed() {
  PROJFS_ASSIGN(const auto newest, newest_before_changes(false));
  return !newest;
}

Result<std::optional<meta::Snapshot>> ProjectSnapshots::newest_before_changes(bool also_hidden) {
  meta::EpochState epochs;
  {
    const std::shared_lock quiesce(project_->quiesce);
    epochs = project_->epochs();
  }
  const auto number = project_->number();
  std::optional<meta::Snapshot> newest;
  for (Epoch upto = epochs.last_snapshot; upto != 0; upto = newest->epoch - 1) {
    PROJFS_ASSIGN(newest, meta::snapshot_at_or_before(engine_.db, number, upto));
    if (!newest || newest->record.is_listed()) break;
    if (also_hidden && (newest->record.flags & SnapshotRecord::kUnfinished) == 0) break;
  }
  if (!newest || project_->last_staged() > newest->record.boundary)
    return std::optional<meta::Snapshot>();
  const auto end = meta::project_prefix(number + 1);
  const rocksdb::Slice upper(end);
  const auto it = engine_.db.scan(Family::kChanges, &upper);
  it->Seek(meta::change_key(number, newest->epoch + 1, meta::project_prefix(0)));
  if (it->Valid()) return std::optional<meta::Snapshot>();
  PROJFS_TRY(from_rocksdb(it->status(), "reading the list of changes"));
  return newest;
}

Status ProjectSnapshots::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(const auto found, get(name));
  if ((found.record.flags & SnapshotRecord::kHeld) != 0) {
    return fail(EBUSY, "snapshot " + in_quotes(name) + " is held: release it first");
  }
  std::shared_ptr<SnapshotVolume> volume;
  {
    const std::lock_guard volumes(volumes_mutex_);
    const auto it = volumes_.find(found.epoch);
    if (it != volumes_.end()) volume = it->second.lock();
  }
  if (volume) volume->revoke();
  rocksdb::WriteBatch batch;
  engine_.answers.note(batch);
  PROJFS_ASSIGN(const bool needed, meta::is_pinned(engine_.db, project_->number(), found.epoch));
  if (needed) {
    PROJFS_TRY(hide(batch, found));
  } else {
    PROJFS_TRY(drop(batch, found));
  }
  PROJFS_TRY(engine_.index_sync.sync());
  deleted_();
  return {};
}

// Clones need it: it stays, without its name.
Status ProjectSnapshots::hide(rocksdb::WriteBatch& batch, meta::Snapshot snapshot) {
  const auto number = project_->number();
  meta::forget_name(engine_.db, batch, number, snapshot.record);
  snapshot.record.flags = SnapshotRecord::kHidden;
  snapshot.record.name.clear();
  snapshot.record.number = 0;
  batch.Put(engine_.db.family(kTable), meta::snapshot_key(number, snapshot.epoch),
            snapshot.record.encode());
  return engine_.db.commit(batch);
}

// Commits `batch`, with which the snapshot is none any more.
Status ProjectSnapshots::drop(rocksdb::WriteBatch& batch, const meta::Snapshot& snapshot) {
  const std::unique_lock alone(project_->quiesce);
  return commit_drop(batch, snapshot);
}

// REQUIRES: quiesce is held alone too.
Status ProjectSnapshots::commit_drop(rocksdb::WriteBatch& batch, const meta::Snapshot& snapshot) {
  auto& db = engine_.db;
  meta::move_to_dead(db, batch, project_->number(), snapshot);
  if (project_->epochs().last_snapshot == snapshot.epoch) {
    PROJFS_ASSIGN(const auto before,
                  meta::snapshot_at_or_before(db, project_->number(), snapshot.epoch - 1));
    PROJFS_TRY(project_->set_last_snapshot(db, batch, before ? before->epoch : 0));
  } else {
    PROJFS_TRY(db.commit(batch));
  }
  project_->set_removes_history(true);
  return {};
}

Status ProjectSnapshots::rename(std::string_view name, std::string_view new_name) {
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(auto found, get(name));
  PROJFS_TRY(check_new_name(new_name));
  const auto number = project_->number();
  auto& db = engine_.db;
  found.record.name = new_name;
  set_flag(found.record, SnapshotRecord::kAutomatic, false);
  rocksdb::WriteBatch batch;
  batch.Delete(db.family(kTable), meta::snapshot_name_key(number, name));
  batch.Put(db.family(kTable), meta::snapshot_name_key(number, new_name), epoch_value(found.epoch));
  batch.Put(db.family(kTable), meta::snapshot_key(number, found.epoch), found.record.encode());
  engine_.answers.note(batch);
  return db.commit(batch, true);
}

Status ProjectSnapshots::set_held(std::string_view name, bool held) {
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(auto found, get(name));
  set_flag(found.record, SnapshotRecord::kHeld, held);
  rocksdb::WriteBatch batch;
  batch.Put(engine_.db.family(kTable), meta::snapshot_key(project_->number(), found.epoch),
            found.record.encode());
  return engine_.db.commit(batch, true);
}

Result<SnapshotInfo> ProjectSnapshots::find(std::string_view name) {
  PROJFS_ASSIGN(const auto found, get(name));
  return info(found);
}

Result<SnapshotInfo> ProjectSnapshots::by_number(std::uint64_t number) {
  PROJFS_ASSIGN(const auto epoch,
                epoch_of_key(meta::snapshot_number_key(project_->number(), number)));
  if (epoch) {
    PROJFS_ASSIGN(auto record, meta::get_snapshot(engine_.db, project_->number(), *epoch));
    if (record && record->is_listed()) return info({*epoch, std::move(*record)});
  }
  return fail(ENOENT,
              "project " + project_->id() + " has no snapshot number " + std::to_string(number));
}

Status ProjectSnapshots::each(std::uint64_t after, const Sink& sink) {
  const auto number = project_->number();
  Epoch from = 1;
  if (after != 0) {
    // The first number above `after` that is still there leads to the first epoch.
    const auto end = meta::snapshot_number_key(number + 1, 0);
    const rocksdb::Slice upper(end);
    const auto it = engine_.db.scan(kTable, &upper);
    it->Seek(meta::snapshot_number_key(number, after + 1));
    PROJFS_TRY(from_rocksdb(it->status(), "listing snapshots"));
    if (!it->Valid()) return {};
    from = Reader(it->value().ToStringView()).be64();
  }
  const auto end = meta::snapshot_key(number + 1, 0);
  const rocksdb::Slice upper(end);
  const auto it = engine_.db.scan(kTable, &upper);
  for (it->Seek(meta::snapshot_key(number, from)); it->Valid(); it->Next()) {
    auto record = SnapshotRecord::decode(it->value().ToStringView());
    if (!record) return fail(EIO, "a snapshot's record does not decode");
    if (!record->is_listed()) continue;
    const auto key = it->key().ToStringView();
    PROJFS_ASSIGN(const auto found,
                  info({Reader(key.substr(key.size() - 8)).be64(), std::move(*record)}));
    if (!sink(found)) return {};
  }
  return from_rocksdb(it->status(), "listing snapshots");
}

Result<std::vector<SnapshotInfo>> ProjectSnapshots::list() {
  std::vector<SnapshotInfo> out;
  PROJFS_TRY(each(0, [&](const SnapshotInfo& s) {
    out.push_back(s);
    return true;
  }));
  return out;
}

// Whoever shows a project asks for this: by the keys alone, not by each one's figures.
std::uint64_t ProjectSnapshots::count() {
  const auto number = project_->number();
  const auto end = meta::snapshot_number_key(number + 1, 0);
  const rocksdb::Slice upper(end);
  const auto it = engine_.db.scan(kTable, &upper);
  std::uint64_t n = 0;
  for (it->Seek(meta::snapshot_number_key(number, 0)); it->Valid(); it->Next()) ++n;
  return n;
}

Result<std::shared_ptr<Volume>> ProjectSnapshots::volume(std::uint64_t number) {
  {
    PROJFS_ASSIGN(const auto present, by_number(number));
    const std::lock_guard lock(volumes_mutex_);
    if (const auto it = volumes_.find(present.epoch); it != volumes_.end())
      if (auto volume = it->second.lock()) return std::static_pointer_cast<Volume>(volume);
  }
  // Not between the moment in which remove() revokes the volume there is and its end.
  const std::lock_guard table(mutex_);
  PROJFS_ASSIGN(const auto found, by_number(number));
  const std::lock_guard lock(volumes_mutex_);
  auto& slot = volumes_[found.epoch];
  auto volume = slot.lock();
  if (!volume) {
    volume = std::make_shared<SnapshotVolume>(engine_, project_, found.epoch, found.logical_bytes);
    slot = volume;
    std::erase_if(volumes_, [](const auto& item) { return item.second.expired(); });
  }
  return std::static_pointer_cast<Volume>(volume);
}

Status ProjectSnapshots::diff(std::uint64_t from, std::optional<std::uint64_t> to,
                              const DifferenceSink& sink,
                              const std::function<void(double)>& progress) {
  const auto state = [this](std::uint64_t number) -> Result<Diff::State> {
    PROJFS_ASSIGN(const auto found, by_number(number));
    PROJFS_ASSIGN(auto content, volume(number));
    return Diff::State{found.epoch, std::move(content)};
  };
  PROJFS_ASSIGN(const auto before, state(from));
  Diff::State after;
  if (to) {
    PROJFS_ASSIGN(after, state(*to));
  } else {
    after.volume = std::make_shared<SnapshotVolume>(engine_, project_, after.epoch, 0);
  }
  return Diff(engine_, project_->number(), before, after).run(sink, progress);
}

bool ProjectSnapshots::in_use() {
  const std::lock_guard lock(volumes_mutex_);
  for (const auto& [epoch, volume] : volumes_) {
    if (!volume.expired()) return true;
  }
  return false;
}

Result<SnapshotPolicy> ProjectSnapshots::policy() {
  PROJFS_ASSIGN(const auto data,
                engine_.db.get(kTable, meta::snapshot_policy_key(project_->number())));
  SnapshotPolicy p;
  if (!data) return p;
  Reader in(*data);
  const auto count = [&in] { return static_cast<std::uint32_t>(in.varint()); };
  if (in.varint() != 1) return fail(EIO, "a snapshot policy does not decode");
  p.off = in.u8() != 0;
  p.every_seconds = in.varint();
  p.keep_last = count();
  p.keep_hourly = count();
  p.keep_daily = count();
  p.keep_weekly = count();
  p.keep_monthly = count();
  if (!in.done()) return fail(EIO, "a snapshot policy does not decode");
  return p;
}

Status ProjectSnapshots::set_policy(const SnapshotPolicy& p) {
  if (p.every_seconds == 0) return fail(EINVAL, "snapshots cannot be made every 0 seconds");
  std::string data;
  put_varint(data, 1);  // version of this record
  put_u8(data, p.off ? 1 : 0);
  put_varint(data, p.every_seconds);
  for (const auto keep : {p.keep_last, p.keep_hourly, p.keep_daily, p.keep_weekly, p.keep_monthly})
    put_varint(data, keep);
  const std::lock_guard lock(mutex_);
  rocksdb::WriteBatch batch;
  batch.Put(engine_.db.family(kTable), meta::snapshot_policy_key(project_->number()), data);
  return engine_.db.commit(batch, true);
}

}  // namespace projfs::snapshot
