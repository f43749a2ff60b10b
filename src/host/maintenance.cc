// SPDX-License-Identifier: MIT
//
// Background work: making acknowledged changes durable now and then, giving back the space of what
// was deleted. Sleeps while there is nothing to do.
#include <pthread.h>

#include "fs/extent_commit.h"
#include "host/local_store.h"
#include "meta/extent_list.h"
#include "meta/lineage.h"
#include "projfs/log.h"
#include "snapshot/rollback.h"

namespace projfs::host {
namespace {

constexpr std::size_t kCollectChunks = 4096;
constexpr double kDeadShare = 0.5;  // a pack with more dead than this is worth rewriting
constexpr std::size_t kPurgeRecords = 2048;

}  // namespace

LocalStore::~LocalStore() {
  {
    const std::lock_guard lock(maintenance_mutex_);
    stopping_ = true;
    opened_.clear();
  }
  wake_.notify_all();
  if (maintenance_.joinable()) maintenance_.join();
  reclaimer_.reset();
  ingester_.reset();
  if (stage_ && db_ && engine_) {
    if (const auto s = sync(); !s) log::error("closing {}: {}", directory_, s.error().describe());
  }
}

Status LocalStore::sync() {
  PROJFS_TRY(stage_->sync_all());
  return index_sync_->sync();
}

void LocalStore::maintain() {
  pthread_setname_np(pthread_self(), "maintain");
  // With syncing off the rest still wants a look now and then.
  const auto period =
      std::chrono::milliseconds(options_.sync_every_ms != 0 ? options_.sync_every_ms : 5000);
  std::unique_lock lock(maintenance_mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, period);
    if (stopping_) break;
    auto opened = std::move(opened_);
    opened_.clear();
    lock.unlock();
    for (const auto& there : opened) {
      if (const auto volume = there.lock()) volume->reclaim_orphans();
    }
    if (const auto s = maintain_once(); !s) {
      log::error("{}: background work failed and will be tried again: {}", directory_,
                 s.error().describe());
    }
    lock.lock();
  }
}

Status LocalStore::maintain_once() {
  if (options_.sync_every_ms != 0) PROJFS_TRY(sync());
  space_->refresh();
  const auto position = index_sync_->position();
  if (position == maintained_) {
    // Nothing changed for a whole period: an idle store leaves nothing to replay, then rests.
    if (flushed_ != position && stage_->staged_bytes() == 0) {
      PROJFS_TRY(db_->flush());
      flushed_ = index_sync_->position();
    }
    return {};
  }
  const auto stopping = [this] {
    const std::lock_guard lock(maintenance_mutex_);
    return stopping_;
  };
  while (!stopping()) {
    const auto more = flatten_some();
    if (!more)
      log::error("{}: making a clone independent failed: {}", directory_, more.error().describe());
    if (!more || !*more) break;
  }
  while (!stopping()) {
    PROJFS_ASSIGN(const bool more, purge_some());
    if (!more) break;
  }
  while (!stopping()) {
    PROJFS_ASSIGN(const bool more, remove_history_some());
    if (!more) break;
  }
  while (!stopping()) {
    PROJFS_ASSIGN(const bool more, chunks_->collect(kCollectChunks));
    if (!more) break;
  }
  while (!stopping()) {
    PROJFS_ASSIGN(const bool more, chunks_->compact(kDeadShare));
    if (!more) break;
  }
  maintained_ = index_sync_->position();
  return {};
}

Status LocalStore::collect_garbage() {
  for (bool more = true; more;) {
    PROJFS_ASSIGN(more, flatten_some());
  }
  for (bool more = true; more;) {
    PROJFS_ASSIGN(more, purge_some());
  }
  for (bool more = true; more;) {
    PROJFS_ASSIGN(more, remove_history_some());
  }
  for (bool more = true; more;) {
    PROJFS_ASSIGN(more, chunks_->collect(kCollectChunks));
  }
  for (bool more = true; more;) {
    PROJFS_ASSIGN(more, chunks_->compact(0.1));
  }
  return {};
}

Result<bool> LocalStore::remove_history_some() {
  const std::lock_guard lock(remover_mutex_);
  if (!remover_) {
    const std::string begin = "snap.dead/", end = "snap.dead0";
    const rocksdb::Slice upper(end);
    const auto it = db_->scan(Family::kSystem, &upper);
    it->Seek(begin);
    ProjectPtr project;
    while (!project && it->Valid()) {
      const auto number = Reader(it->key().ToStringView().substr(begin.size())).be64();
      const std::lock_guard table(table_mutex_);
      auto found = load(number);
      if (found) {
        project = std::move(*found);
      } else if (found.error().code == ENOENT) {  // destroyed: all of it is being removed
        it->Seek(meta::snapshot_dead_key(number + 1, 0));
      } else {
        return tl::unexpected<Error>(std::move(found).error());
      }
    }
    PROJFS_TRY(from_rocksdb(it->status(), "looking for deleted snapshots"));
    if (!project) return false;
    remover_ = std::make_unique<snapshot::Remover>(*engine_, *project);
    remover_project_ = std::move(project);
  }
  auto more = remover_->step();
  if (!more || !*more) {  // a failed batch is begun again from the records
    remover_.reset();
    remover_project_.reset();
  }
  if (!more) return tl::unexpected<Error>(std::move(more).error());
  return true;
}

Result<bool> LocalStore::purge_some() {
  const std::lock_guard lock(remover_mutex_);
  const std::string begin = "project.dead/", end = "project.dead0";
  const rocksdb::Slice upper(end);
  const auto it = db_->scan(Family::kSystem, &upper);
  for (it->Seek(begin); it->Valid(); it->Next()) {
    const auto number = Reader(it->key().ToStringView().substr(begin.size())).be64();
    // What clones read through it stays until they no longer do.
    PROJFS_ASSIGN(const bool needed, meta::is_pinned(*db_, number, 0));
    if (needed) continue;
    bool more = true;
    PROJFS_TRY(purge_records(number, more));
    return true;
  }
  PROJFS_TRY(from_rocksdb(it->status(), "looking for destroyed projects"));
  return false;
}

// Drops the chunk references of some records together with the records; the last step removes the
// rest of the project with range deletions. A crash in between resumes where it was.
Status LocalStore::purge_records(meta::ProjectNo number, bool& more) {
  const auto begin = meta::project_prefix(number);
  const auto end = meta::project_prefix(number + 1);
  const rocksdb::Slice upper(end);
  for (const Family family : {Family::kLive, Family::kHistory}) {
    meta::Change change(*db_, number, {});
    std::size_t seen = 0;
    std::string last;
    const auto it = db_->scan(family, &upper);
    for (it->Seek(begin); it->Valid() && seen < kPurgeRecords; it->Next(), ++seen) {
      last = it->key().ToString();
      meta::ParsedKey key;
      if (!meta::parse_key(last, key) || key.kind != meta::Kind::kMap) continue;
      const auto live = meta::decode_live(it->value().ToStringView());
      const auto list = live ? meta::ExtentList::decode(live->payload) : std::nullopt;
      if (!list) {
        log::error(
            "a file map segment of destroyed project number {} does not decode; its chunks "
            "stay until the next check",
            number);
        continue;
      }
      fs::count_references(*engine_, change, *list, {}, false);
    }
    PROJFS_TRY(from_rocksdb(it->status(), "removing a destroyed project"));
    if (seen != 0) {
      last.push_back('\0');  // just after the last one seen
      change.batch().DeleteRange(db_->family(family), begin, last);
      return db_->commit(change.batch());
    }
  }
  rocksdb::WriteBatch batch;
  batch.DeleteRange(db_->family(Family::kChanges), begin, end);
  batch.Delete(db_->family(Family::kCounters), meta::usage_key(number));
  batch.Delete(db_->family(Family::kSystem), meta::project_ino_key(number));
  for (const std::string_view table : {"snap/", "snap.name/", "snap.number/", "snap.dead/"}) {
    batch.DeleteRange(db_->family(Family::kSystem), meta::snapshot_table_key(table, number, 0),
                      meta::snapshot_table_key(table, number + 1, 0));
  }
  batch.Delete(db_->family(Family::kSystem), meta::snapshot_next_key(number));
  batch.Delete(db_->family(Family::kSystem), meta::snapshot_policy_key(number));
  batch.Delete(db_->family(Family::kSystem), snapshot::Rollback::order_key(number));
  batch.DeleteRange(db_->family(Family::kCounters), meta::freed_key(number, 0),
                    meta::freed_key(number + 1, 0));
  batch.Delete(db_->family(Family::kSystem), meta::project_dead_key(number));
  batch.Delete(db_->family(Family::kSystem), meta::base_key(number));
  more = false;
  PROJFS_ASSIGN(const auto base, meta::get_base(*db_, number));
  lineages_->forget(number);
  if (base && !base->copied) return release_base(number, *base, batch, nullptr);
  return db_->commit(batch);
}

}  // namespace projfs::host
