// SPDX-License-Identifier: MIT
#include "snapshot/remover.h"

#include <mutex>
#include <shared_mutex>

#include "fs/extent_commit.h"
#include "meta/snapshot_record.h"
#include "meta/version_chain.h"

namespace projfs::snapshot {
namespace {

using meta::Epoch;

constexpr std::size_t kBatch = 128;        // keys
constexpr Epoch kNoEpoch = ~Epoch{0} - 1;  // no neighbour after: as good as the head

// The nearest snapshots, also deleted ones, on both sides of an epoch.
struct Neighbours {
  Epoch before = 0, after = kNoEpoch;
};
Result<Neighbours> neighbours(const Database& db, meta::ProjectNo project, Epoch epoch) {
  Neighbours found;
  for (const std::string_view table : {"snap/", "snap.dead/"}) {
    const auto begin = meta::snapshot_table_key(table, project, 0);
    const auto end = meta::snapshot_table_key(table, project + 1, 0);
    const rocksdb::Slice upper(end);
    const auto it = db.scan(Family::kSystem, &upper);
    const auto here = [&] {
      const auto key = it->key().ToStringView();
      return Reader(key.substr(key.size() - 8)).be64();
    };
    it->Seek(meta::snapshot_table_key(table, project, epoch + 1));
    if (it->Valid()) found.after = std::min(found.after, here());
    it->SeekForPrev(meta::snapshot_table_key(table, project, epoch - 1));
    if (it->Valid() && it->key().compare(begin) >= 0) found.before = std::max(found.before, here());
    PROJFS_TRY(from_rocksdb(it->status(), "reading the table of snapshots"));
  }
  return found;
}

}  // namespace

Status Remover::begin(Epoch deleted) {
  PROJFS_ASSIGN(const auto near, neighbours(engine_.db, project_.number(), deleted));
  deleted_ = deleted;
  before_ = near.before;
  after_ = near.after;
  next_ = kNoEpoch;
  if (after_ != kNoEpoch) {
    PROJFS_ASSIGN(const auto beyond, neighbours(engine_.db, project_.number(), after_));
    next_ = beyond.after;
  }
  phase_ = Phase::kLast;
  cursor_.clear();
  return {};
}

Result<bool> Remover::step() {
  if (deleted_ == 0) {
    const auto end = meta::snapshot_dead_key(project_.number() + 1, 0);
    const rocksdb::Slice upper(end);
    const auto it = engine_.db.scan(Family::kSystem, &upper);
    it->Seek(meta::snapshot_dead_key(project_.number(), 0));
    PROJFS_TRY(from_rocksdb(it->status(), "looking for deleted snapshots"));
    if (!it->Valid()) return false;
    const auto key = it->key().ToStringView();
    PROJFS_TRY(begin(Reader(key.substr(key.size() - 8)).be64()));
  }
  bool done = true;
  switch (phase_) {
    case Phase::kLast: {
      PROJFS_ASSIGN(done, walk(deleted_, after_));
      if (done) phase_ = before_ != 0 ? Phase::kFirst : Phase::kNext;
      break;
    }
    case Phase::kFirst: {
      PROJFS_ASSIGN(done, walk(before_, deleted_));
      if (done) phase_ = Phase::kDone;
      break;
    }
    case Phase::kNext: {
      if (after_ != kNoEpoch) {
        PROJFS_ASSIGN(done, walk(after_, next_));
      }
      if (done) phase_ = Phase::kDone;
      break;
    }
    case Phase::kDone:
      PROJFS_TRY(finish());
      deleted_ = 0;
  }
  if (done) cursor_.clear();
  return true;
}

Status Remover::finish() {
  const auto number = project_.number();
  auto& db = engine_.db;
  {
    const std::shared_lock quiesce(project_.quiesce);
    const std::unique_lock alone(project_.history_gate);
    rocksdb::WriteBatch batch;
    if (before_ == 0) {
      batch.DeleteRange(db.family(Family::kChanges), meta::project_prefix(number),
                        meta::change_key(number, deleted_ + 1, meta::project_prefix(0)));
    }
    batch.Delete(db.family(Family::kSystem), meta::snapshot_dead_key(number, deleted_));
    batch.Delete(db.family(Family::kCounters), meta::freed_key(number, deleted_));
    PROJFS_TRY(db.commit(batch));
  }
  const std::unique_lock alone(project_.quiesce);
  PROJFS_ASSIGN(const bool more, meta::any_dead_snapshot(db, number));
  project_.set_removes_history(more);
  return {};
}

Result<bool> Remover::walk(Epoch after, Epoch upto) {
  const auto number = project_.number();
  auto& db = engine_.db;
  const std::shared_lock quiesce(project_.quiesce);
  const std::unique_lock alone(project_.history_gate);
  meta::Change change(db, number, project_.epochs(), &project_.head());
  const auto end = meta::change_key(number, upto + 1, meta::project_prefix(0));
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kChanges, &upper);
  it->Seek(cursor_.empty() ? meta::change_key(number, after + 1, meta::project_prefix(0))
                           : cursor_);
  // Where the lists of (before, deleted] go on; a snapshot may have been made meanwhile.
  Epoch heir = project_.epochs().current;
  if (phase_ == Phase::kFirst) {
    PROJFS_ASSIGN(const auto near, neighbours(db, number, deleted_));
    if (near.after != kNoEpoch) heir = near.after;
  }
  std::set<std::string> seen;  // a key may be in several lists
  for (; it->Valid() && seen.size() < kBatch; it->Next()) {
    const auto raw = it->key().ToStringView();
    if (raw.size() < 16) return fail(EIO, "a list of changes does not decode");
    const auto key = meta::project_prefix(number).append(raw.substr(16));
    if (seen.insert(key).second) PROJFS_TRY(visit(change, key));
    if (phase_ == Phase::kFirst) {
      change.batch().Put(db.family(Family::kChanges), meta::change_key(number, heir, key), {});
      change.batch().Delete(db.family(Family::kChanges), it->key());
    }
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading a list of changes"));
  const bool done = !it->Valid();
  if (!done) cursor_ = it->key().ToString();
  PROJFS_TRY(change.commit());
  fs::settle_history(project_, change);
  return done;
}

Status Remover::visit(meta::Change& change, const std::string& key) {
  meta::ParsedKey parsed;
  if (!meta::parse_key(key, parsed)) return fail(EIO, "a list of changes names a damaged key");
  if (parsed.kind == meta::Kind::kMap) return visit_segment(change, key);
  if (phase_ != Phase::kLast) return {};
  const auto it = engine_.db.scan(Family::kHistory);
  it->Seek(meta::history_key(key, deleted_));
  PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
  if (!it->Valid() || it->key().size() != key.size() + 8 || !it->key().starts_with(key)) return {};
  const auto value = meta::decode_live(it->value().ToStringView());
  if (!value) return fail(EIO, "a history record does not decode");
  const auto raw = it->key().ToStringView();
  const auto last = Reader(raw.substr(raw.size() - 8)).be64();
  if (value->born <= before_ || value->born > deleted_) return {};
  PROJFS_ASSIGN(const auto others, other_snapshots(value->born, last));
  if (!others.empty()) return {};
  change.batch().Delete(engine_.db.family(Family::kHistory), it->key());
  return {};
}

Result<std::vector<Epoch>> Remover::other_snapshots(Epoch born, Epoch last) const {
  PROJFS_ASSIGN(auto found,
                meta::snapshots_within(engine_.db, project_.number(), born, deleted_ - 1));
  PROJFS_ASSIGN(const auto later,
                meta::snapshots_within(engine_.db, project_.number(), deleted_ + 1, last));
  found.insert(found.end(), later.begin(), later.end());
  return found;
}

Result<meta::ExtentList> Remover::live_segment(const std::string& key) const {
  PROJFS_ASSIGN(const auto live, meta::get_live(engine_.db, key));
  if (!live) return meta::ExtentList();
  auto list = meta::ExtentList::decode(live->payload);
  if (!list) return fail(EIO, "a file map segment does not decode");
  return std::move(*list);
}

Status Remover::visit_segment(meta::Change& change, const std::string& key) {
  const auto number = project_.number();
  auto& db = engine_.db;
  auto* history = db.family(Family::kHistory);
  PROJFS_ASSIGN(const auto chain, meta::versions_from(db, key, deleted_, 3));
  if (chain.empty() || chain[0].born > deleted_) return {};
  const auto& v = chain[0];
  PROJFS_ASSIGN(const auto others, other_snapshots(v.born, v.last));
  if (others.size() > 1) return {};
  if (others.empty()) {
    PROJFS_ASSIGN(const auto older, meta::versions_before(db, key, v.last - 1, 2));
    // With no version left before the end the live one follows.
    meta::ExtentList live;
    if (chain.size() < 3) {
      PROJFS_ASSIGN(live, live_segment(key));
    }
    const auto& successor = chain.size() > 1 ? chain[1].list : live;
    const auto* previous = older.empty() ? nullptr : &older[0].list;
    change.history().use -= meta::saving(previous, v.list, successor);
    const auto adjust = [&](const meta::SegmentVersion& who, std::int64_t more) -> Status {
      if (more == 0) return {};
      PROJFS_ASSIGN(const auto seen_by, meta::snapshots_within(db, number, who.born, who.last));
      if (seen_by.size() == 1) change.history().free_with(seen_by[0], more);
      return {};
    };
    if (previous != nullptr) {
      const auto* before = older.size() > 1 ? &older[1].list : nullptr;
      PROJFS_TRY(adjust(older[0], meta::saving(before, *previous, successor) -
                                      meta::saving(before, *previous, v.list)));
    }
    if (chain.size() > 1) {
      const auto& beyond = chain.size() > 2 ? chain[2].list : live;
      PROJFS_TRY(adjust(chain[1], meta::saving(previous, successor, beyond) -
                                      meta::saving(&v.list, successor, beyond)));
    }
    change.batch().Delete(history, meta::history_key(key, v.last));
    fs::count_references(engine_, change, v.list, {}, false);
    return {};
  }
  // One other sees it: on this side or the other. It is that one's alone from now on, and the
  // deleted one is cut out of its range, which says that this is done.
  const Epoch other = others[0];
  PROJFS_ASSIGN(const auto older, meta::versions_before(db, key, v.last - 1, 1));
  meta::ExtentList live;
  if (chain.size() < 2) {
    PROJFS_ASSIGN(live, live_segment(key));
  }
  change.history().free_with(other, meta::saving(older.empty() ? nullptr : &older[0].list, v.list,
                                                 chain.size() > 1 ? chain[1].list : live));
  if (other > deleted_) {
    change.batch().Put(history, meta::history_key(key, v.last),
                       meta::encode_live(deleted_ + 1, v.list.encode()));
  } else {
    change.batch().Delete(history, meta::history_key(key, v.last));
    change.batch().Put(history, meta::history_key(key, other),
                       meta::encode_live(v.born, v.list.encode()));
  }
  return {};
}

}  // namespace projfs::snapshot
