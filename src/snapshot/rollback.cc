// SPDX-License-Identifier: MIT
#include "snapshot/rollback.h"

#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "fs/extent_commit.h"
#include "meta/change.h"
#include "meta/extent_list.h"

namespace projfs::snapshot {
namespace {

constexpr std::size_t kBatch = 256;  // keys
constexpr std::string_view kTable = "rollback/";

Result<meta::ExtentList> segment_of(std::string_view payload) {
  auto list = meta::ExtentList::decode(payload);
  if (!list) return fail(EIO, "a file map segment does not decode");
  return std::move(*list);
}

}  // namespace

// One batch: what it changes in the index, and in the inodes that are in memory. Those are locked
// from before the commit until they show what it did.
struct Rollback::Undo {
  Undo(const fs::Engine& engine, const fs::Project& project, meta::Epoch target)
      : change(engine.db, project.number(), project.epochs(), &project.head()),
        view(project.view_at(engine.db, target)) {}

  meta::Change change;
  const meta::View view;
  std::int64_t bytes = 0, inodes = 0;
  std::map<Ino, fs::InodePtr> objects;
  std::vector<std::unique_lock<std::shared_mutex>> locks;
  std::map<Ino, std::optional<meta::InodeRecord>> records;  // as they become; none: it goes
  std::map<Ino, bool> orphans;                              // whether it becomes one
};

std::string Rollback::order_key(meta::ProjectNo project) { return meta::numbered(kTable, project); }

std::string Rollback::encoded(const Order& order) {
  std::string value;
  put_varint(value, order.target);
  put_varint(value, order.last);
  put_string(value, order.position);
  return value;
}

void Rollback::order(rocksdb::WriteBatch& batch, meta::Epoch target) const {
  batch.Put(engine_.db.family(Family::kSystem), order_key(project_->number()),
            encoded({target, project_->epochs().current, {}}));
}

Result<std::optional<Rollback::Order>> Rollback::read_order() const {
  PROJFS_ASSIGN(const auto value, engine_.db.get(Family::kSystem, order_key(project_->number())));
  if (!value) return std::optional<Order>();
  Reader in(*value);
  Order order;
  order.target = in.varint();
  order.last = in.varint();
  order.position = in.string();
  if (!in.done()) return fail(EIO, "the order of a rollback does not decode");
  return std::optional<Order>(std::move(order));
}

Result<std::vector<meta::ProjectNo>> Rollback::ordered(const Database& db) {
  std::vector<meta::ProjectNo> found;
  const auto it = db.scan(Family::kSystem);
  for (it->Seek(kTable); it->Valid() && it->key().starts_with(kTable); it->Next()) {
    found.push_back(Reader(it->key().ToStringView().substr(kTable.size())).be64());
  }
  PROJFS_TRY(from_rocksdb(it->status(), "looking for rollbacks"));
  return found;
}

Status Rollback::run() {
  PROJFS_ASSIGN(auto order, read_order());
  if (!order) return {};
  for (bool done = false; !done;) PROJFS_TRY(step(*order, done));
  return {};
}

Status Rollback::cancel() {
  rocksdb::WriteBatch batch;
  batch.Delete(engine_.db.family(Family::kSystem), order_key(project_->number()));
  return engine_.db.commit(batch);
}

Status Rollback::step(Order& order, bool& done) {
  const auto number = project_->number();
  auto& db = engine_.db;
  const auto end = meta::change_key(number, order.last + 1, meta::project_prefix(0));
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kChanges, &upper);
  it->Seek(order.position.empty()
               ? meta::change_key(number, order.target + 1, meta::project_prefix(0))
               : order.position);
  std::set<std::string> keys;  // in the order of inodes
  for (; it->Valid() && keys.size() < kBatch; it->Next()) {
    const auto raw = it->key().ToStringView();
    if (raw.size() < 16) return fail(EIO, "a list of changes does not decode");
    keys.insert(meta::project_prefix(number).append(raw.substr(16)));
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading a list of changes"));
  done = !it->Valid();
  if (!done) order.position = it->key().ToString();

  Undo work(engine_, *project_, order.target);
  // Inodes that are there now change through their objects, so that the cache never holds a record
  // of before.
  for (const auto& key : keys) {
    meta::ParsedKey parsed;
    if (!meta::parse_key(key, parsed)) return fail(EIO, "a list of changes names a damaged key");
    if (parsed.ino == 0 || work.objects.contains(parsed.ino)) continue;
    auto found = engine_.inodes.get(project_, parsed.ino);
    if (!found && found.error().code != ESTALE)
      return tl::unexpected<Error>(std::move(found).error());
    if (found) work.objects.emplace(parsed.ino, std::move(*found));
  }
  for (const auto& [ino, inode] : work.objects) work.locks.emplace_back(inode->mutex);
  for (const auto& key : keys) PROJFS_TRY(undo(work, key));

  auto* table = db.family(Family::kSystem);
  if (done) {
    work.change.batch().Delete(table, order_key(number));
  } else {
    work.change.batch().Put(table, order_key(number), encoded(order));
  }
  work.change.count(work.bytes, work.inodes);
  PROJFS_TRY(work.change.commit());
  show(work);
  return {};
}

Status Rollback::undo(Undo& work, const std::string& key) const {
  meta::ParsedKey parsed;
  meta::parse_key(key, parsed);
  PROJFS_ASSIGN(const auto then, work.view.get(key));
  PROJFS_ASSIGN(const auto now, project_->head().find(key));
  if (parsed.kind == meta::Kind::kInode) return undo_inode(work, key, then, now);
  if (then == (now ? std::optional(now->payload) : std::nullopt)) return {};
  switch (parsed.kind) {
    case meta::Kind::kMap: {
      meta::ExtentList before, after;
      if (now) {
        PROJFS_ASSIGN(before, segment_of(now->payload));
      }
      if (then) {
        PROJFS_ASSIGN(after, segment_of(*then));
      }
      return fs::change_segment(engine_, *project_, work.change, key, before, now ? now->born : 0,
                                after);
    }
    case meta::Kind::kXattr: {
      const auto size = [&](const std::string& value) {
        return static_cast<std::int64_t>(parsed.name().size() + value.size());
      };
      if (then) work.bytes += size(*then);
      if (now) work.bytes -= size(now->payload);
      break;
    }
    case meta::Kind::kOrphan:
      work.orphans[parsed.number()] = then.has_value();
      break;
    default:
      break;
  }
  if (then) {
    PROJFS_TRY(work.change.put(key, *then));
  } else {
    PROJFS_TRY(work.change.remove(key));
  }
  return {};
}

Status Rollback::undo_inode(Undo& work, const std::string& key,
                            const std::optional<std::string>& then,
                            const std::optional<meta::LiveValue>& now) const {
  meta::ParsedKey parsed;
  meta::parse_key(key, parsed);
  const auto decoded = [](std::string_view payload) -> Result<meta::InodeRecord> {
    auto record = meta::InodeRecord::decode(payload);
    if (!record) return fail(EIO, "an inode record does not decode");
    return std::move(*record);
  };
  if (now) {
    PROJFS_ASSIGN(const auto record, decoded(now->payload));
    work.bytes -= static_cast<std::int64_t>(record.allocated);
    --work.inodes;
  }
  auto& becomes = work.records[parsed.ino];
  if (!then) {
    if (now) PROJFS_TRY(work.change.remove(key));
    return {};
  }
  PROJFS_ASSIGN(becomes, decoded(*then));
  // What the stage may still hold of it came after.
  becomes->data_floor = becomes->attr_floor = engine_.stage.last_seq();
  work.bytes += static_cast<std::int64_t>(becomes->allocated);
  ++work.inodes;
  PROJFS_TRY(work.change.put(key, becomes->encode()));
  return {};
}

// What the batch did, in memory.
void Rollback::show(Undo& work) {
  fs::settle_history(*project_, work.change);
  project_->adjust(work.bytes, work.inodes);
  for (auto& [ino, record] : work.records) {
    const auto object = work.objects.find(ino);
    if (object == work.objects.end()) continue;
    auto& inode = *object->second;
    if (record) {
      inode.last_seq = record->data_floor;
      inode.adopt_record(std::move(*record));
      inode.born = inode.state_epoch = project_->epochs().current;
      inode.index_seq = engine_.index_sync.position();
    } else {
      inode.gone = true;
      inode.size = inode.allocated = 0;
      engine_.inodes.forget(object->second);
    }
  }
  for (const auto& [ino, becomes] : work.orphans) {
    if (becomes) {
      project_->add_orphan(ino);
    } else {
      project_->remove_orphan(ino);
    }
  }
}

}  // namespace projfs::snapshot
