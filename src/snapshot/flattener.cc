// SPDX-License-Identifier: MIT
#include "snapshot/flattener.h"

#include <mutex>

#include "fs/extent_commit.h"
#include "meta/change.h"
#include "meta/cursor.h"
#include "meta/extent_list.h"

namespace projfs::snapshot {
namespace {

// Writers of the clone wait while a batch is committed.
constexpr std::size_t kCopied = 256;  // records of one
constexpr std::size_t kSwept = 4096;  // records looked at for one

}  // namespace

Status Flattener::keep_position(rocksdb::WriteBatch& batch, const std::string& position) const {
  PROJFS_ASSIGN(auto record, meta::get_base(engine_.db, project_->number()));
  if (!record) return fail(EIO, "a clone has lost the record of its base");
  record->position = position;
  batch.Put(engine_.db.family(Family::kSystem), meta::base_key(project_->number()),
            record->encode());
  return {};
}

Result<bool> Flattener::copy() {
  const auto* const base = project_->head().base();
  if (base == nullptr) return true;
  const auto number = project_->number();
  PROJFS_ASSIGN(const auto record, meta::get_base(engine_.db, number));
  if (!record) return fail(EIO, "a clone has lost the record of its base");
  struct Inherited {
    std::string key, payload;
  };
  std::vector<Inherited> some;
  const auto begin =
      record->position.empty() ? meta::project_prefix(base->project) : record->position;
  meta::Cursor at(base->view, begin, meta::project_prefix(base->project + 1));
  for (; at.valid() && some.size() < kCopied; at.next()) {
    some.push_back({meta::project_prefix(number).append(at.key().substr(8)), at.value().payload});
  }
  PROJFS_TRY(at.status());
  const bool done = !at.valid();
  const std::string position = done ? std::string() : std::string(at.key());

  // What the base says never changes; whether the clone has a record of its own is asked while
  // nobody changes it.
  const std::unique_lock alone(project_->quiesce);
  meta::Change change(engine_.db, number, project_->epochs());
  for (const auto& r : some) {
    PROJFS_ASSIGN(const auto own, engine_.db.get(Family::kLive, r.key));
    if (own) continue;
    change.batch().Put(engine_.db.family(Family::kLive), r.key,
                       meta::encode_live(meta::kInherited, r.payload));
    meta::ParsedKey parsed;
    if (!meta::parse_key(r.key, parsed) || parsed.kind != meta::Kind::kMap) continue;
    const auto list = meta::ExtentList::decode(r.payload);
    if (!list) return fail(EIO, "a file map segment of a clone's base does not decode");
    fs::count_references(engine_, change, {}, *list, false);
  }
  if (!done) PROJFS_TRY(keep_position(change.batch(), position));
  PROJFS_TRY(change.commit());
  return done;
}

Result<bool> Flattener::sweep() {
  const auto number = project_->number();
  auto& db = engine_.db;
  PROJFS_ASSIGN(const auto record, meta::get_base(db, number));
  if (!record) return true;
  const auto end = meta::project_prefix(number + 1);
  const rocksdb::Slice upper(end);
  const auto is_tombstone = [](std::string_view value) { return value == meta::kTombstone; };
  std::vector<std::string> found;
  const auto it = db.scan(Family::kLive, &upper);
  std::size_t looks = 0;
  for (it->Seek(record->position.empty() ? meta::project_prefix(number) : record->position);
       it->Valid() && looks < kSwept; it->Next(), ++looks) {
    if (is_tombstone(it->value().ToStringView())) found.push_back(it->key().ToString());
  }
  PROJFS_TRY(from_rocksdb(it->status(), "removing tombstones"));
  const bool done = !it->Valid();
  const auto position = done ? std::string() : it->key().ToString();

  const std::unique_lock alone(project_->quiesce);
  rocksdb::WriteBatch batch;
  for (const auto& key : found) {
    PROJFS_ASSIGN(const auto value, db.get(Family::kLive, key));
    if (value && is_tombstone(*value)) batch.Delete(db.family(Family::kLive), key);
  }
  if (done) {
    batch.Delete(db.family(Family::kSystem), meta::base_key(number));
  } else {
    PROJFS_TRY(keep_position(batch, position));
  }
  PROJFS_TRY(db.commit(batch));
  return done;
}

}  // namespace projfs::snapshot
