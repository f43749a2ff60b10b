// SPDX-License-Identifier: MIT
//
// The project table: creation, look-up, quota, destruction.
#include <sys/stat.h>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>

#include "host/local_store.h"
#include "meta/change.h"
#include "meta/project_record.h"
#include "projfs/out_of_reach.h"

namespace projfs {

bool is_project_id(std::string_view id) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (id.empty() || id.size() > 63 || !plain(id[0])) return false;
  return std::all_of(id.begin(), id.end(),
                     [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

namespace host {
namespace {

constexpr Family kTable = Family::kSystem;

Status check_id(std::string_view id) {
  if (is_project_id(id)) return {};
  return fail(EINVAL, "\"" + std::string(id) +
                          "\" is no project id: use 1 to 63 of a-z, 0-9, '.', '_' and '-', "
                          "beginning with a letter or digit");
}

}  // namespace

Result<LocalStore::ProjectPtr> LocalStore::load(meta::ProjectNo number) {
  if (const auto it = projects_.find(number); it != projects_.end()) return it->second;
  PROJFS_ASSIGN(auto lineage, lineages_->of(number));
  PROJFS_ASSIGN(auto project, fs::Project::load(*db_, number, std::move(lineage)));
  projects_.emplace(number, project);
  return project;
}

Result<meta::ProjectNo> LocalStore::number_of(std::string_view id) const {
  PROJFS_TRY(check_id(id));
  PROJFS_ASSIGN(const auto number, db_->get(kTable, meta::project_id_key(id)));
  if (!number) return fail(ENOENT, "there is no project " + std::string(id));
  return Reader(*number).be64();
}

Result<LocalStore::ProjectPtr> LocalStore::find(std::string_view id) {
  const std::lock_guard lock(table_mutex_);
  PROJFS_ASSIGN(const auto number, number_of(id));
  return load(number);
}

ProjectInfo LocalStore::info(const fs::Project& project) const {
  const auto& r = project.record();
  ProjectInfo out;
  out.number = project.number();
  out.id = r.id;
  out.created_ns = r.created_ns;
  out.generation = r.generation;
  out.epoch = project.epochs().current;
  out.uid = r.uid;
  out.gid = r.gid;
  out.dedup = r.dedup;
  out.quota = project.quota();
  out.usage = project.usage();
  out.staged_bytes = project.staged_bytes;
  if (const auto* const base = project.head().base()) {
    out.base.emplace();
    out.base->epoch = base->epoch;
    const auto parent = db_->get(kTable, meta::project_key(base->project));
    if (parent && *parent) {
      if (const auto record = meta::ProjectRecord::decode(**parent)) out.base->project = record->id;
    }
  }
  return out;
}

Result<meta::ProjectNo> LocalStore::new_number(std::string_view id) {
  PROJFS_TRY(check_id(id));
  PROJFS_ASSIGN(const auto taken, db_->get(kTable, meta::project_id_key(id)));
  if (taken) return fail(EEXIST, "there is a project " + std::string(id) + " already");
  PROJFS_ASSIGN(const auto next, db_->get(kTable, meta::kProjectNextKey));
  return next ? Reader(*next).varint() : 1;
}

void LocalStore::put_project(rocksdb::WriteBatch& batch, meta::ProjectNo number,
                             const meta::ProjectRecord& record) {
  std::string value;
  put_be64(value, number);
  batch.Put(db_->family(kTable), meta::project_id_key(record.id), value);
  batch.Put(db_->family(kTable), meta::project_key(number), record.encode());
  value.clear();
  put_varint(value, number + 1);
  batch.Put(db_->family(kTable),
            rocksdb::Slice(meta::kProjectNextKey.data(), meta::kProjectNextKey.size()), value);
}

Result<ProjectInfo> LocalStore::create(const ProjectSpec& spec) {
  PROJFS_TRY(check_id(spec.id));
  if (!space_->has_room(kBlock)) {
    return fail(ENOSPC, "the store's disk is full down to the reserve: no project can be made");
  }
  const std::lock_guard lock(table_mutex_);
  PROJFS_ASSIGN(const auto number, new_number(spec.id));

  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  meta::ProjectRecord record;
  record.id = spec.id;
  record.created_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
  record.uid = spec.uid;
  record.gid = spec.gid;
  record.dedup = spec.dedup;
  record.quota = spec.quota;
  record.name_seed = Reader(random_bytes(8)).le64();
  if (spec.dedup == DedupMode::kProject) record.dedup_key = random_bytes(32);

  meta::InodeRecord root;
  root.mode = S_IFDIR | (spec.root_mode & 07777);
  root.nlink = 2;
  root.uid = spec.uid;
  root.gid = spec.gid;
  root.parent = kRootIno;
  root.atime = root.mtime = root.ctime = root.btime = now;

  meta::Change change(*db_, number, {});
  put_project(change.batch(), number, record);
  PROJFS_TRY(change.put(meta::inode_key(number, kRootIno), root.encode(), 0));
  change.count(0, 1);
  PROJFS_TRY(change.commit());
  PROJFS_TRY(index_sync_->sync());
  PROJFS_ASSIGN(const auto project, load(number));
  return info(*project);
}

bool LocalStore::is_open(std::string_view id) {
  const std::lock_guard lock(table_mutex_);
  const auto number = number_of(id);
  if (!number) return false;
  const auto volume = volumes_.find(*number);
  return volume != volumes_.end() && !volume->second.expired();
}

Status LocalStore::destroy(std::string_view id) {
  // Who served a mount, or reclaims what was open in it, holds its volume for a moment longer.
  for (int waits = 0; waits < 200 && is_open(id); ++waits)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  meta::ProjectNo number = 0;
  {
    // A batch of background work may be at it.
    const std::lock_guard nothing_in_the_background(remover_mutex_);
    const auto paused = reclaimer_ ? reclaimer_->pause() : std::unique_lock<std::mutex>();
    const std::lock_guard lock(table_mutex_);
    // Not by its record: a damaged project can be destroyed too.
    PROJFS_ASSIGN(number, number_of(id));
    if (!volumes_[number].expired()) {
      return fail(EBUSY, "project " + std::string(id) + " is in use: unmount it first");
    }
    if (const auto s = snapshots_[number].lock(); s && s->in_use()) {
      return fail(EBUSY, "a snapshot of project " + std::string(id) + " is in use");
    }
    rocksdb::WriteBatch batch;
    batch.Delete(db_->family(kTable), meta::project_id_key(id));
    batch.Delete(db_->family(kTable), meta::project_key(number));
    batch.Put(db_->family(kTable), meta::project_dead_key(number), {});
    PROJFS_TRY(db_->commit(batch, true));
    projects_.erase(number);
    volumes_.erase(number);
    snapshots_.erase(number);
    if (remover_project_ && remover_project_->number() == number) {
      remover_.reset();
      remover_project_.reset();
    }
    if (flattener_ && flattener_->project()->number() == number) flattener_.reset();
    look_for_clones_ = true;
  }
  for (const auto& inode : inodes_->take_project(number)) {
    const std::unique_lock lock(inode->mutex);
    inode->gone = true;
    fs::release_staged(*engine_, *inode, inode->last_seq);
    inode->overlay = {};
    inode->frozen.clear();
  }
  wake_.notify_all();
  return {};
}

Result<std::vector<ProjectInfo>> LocalStore::list() {
  std::vector<ProjectInfo> out;
  const std::string begin = "project.id/", end = "project.id0";
  const rocksdb::Slice upper(end);
  const auto it = db_->scan(kTable, &upper);
  for (it->Seek(begin); it->Valid(); it->Next()) {
    const auto number = Reader(it->value().ToStringView()).be64();
    const std::lock_guard lock(table_mutex_);
    const auto project = load(number);
    if (!project) {
      const auto key = it->key().ToStringView();
      const auto still = db_->get(kTable, key);
      if (still && !*still) continue;  // destroyed meanwhile
      out.push_back(damaged(number, key.substr(begin.size()), project.error()));
      continue;
    }
    out.push_back(info(**project));
  }
  PROJFS_TRY(from_rocksdb(it->status(), "listing projects"));
  return out;
}

ProjectInfo LocalStore::damaged(meta::ProjectNo number, std::string_view id, const Error& error) {
  ProjectInfo out;
  out.number = number;
  out.id = id;
  out.problem = error.describe();
  return out;
}

Result<ProjectInfo> LocalStore::show(std::string_view id) {
  const std::lock_guard lock(table_mutex_);
  PROJFS_ASSIGN(const auto number, number_of(id));
  const auto project = load(number);
  if (!project) return damaged(number, id, project.error());
  return info(**project);
}

Status LocalStore::set_quota(std::string_view id, const Quota& quota) {
  PROJFS_ASSIGN(const auto project, find(id));
  return project->set_quota(*db_, quota);
}

Result<std::shared_ptr<Volume>> LocalStore::volume(std::string_view id) {
  PROJFS_ASSIGN(const auto project, find(id));
  std::shared_ptr<fs::ProjectVolume> made;
  {
    const std::lock_guard lock(table_mutex_);
    if (!projects_.contains(project->number())) {
      return fail(ENOENT, "project " + std::string(id) + " has just been destroyed");
    }
    auto& slot = volumes_[project->number()];
    if (auto present = slot.lock()) return std::static_pointer_cast<Volume>(present);
    made = std::make_shared<fs::ProjectVolume>(*engine_, project);
    slot = made;
    if (still_mounted_.erase(std::string(id)) != 0) {
      made->set_kernel_view(out_of_reach());
      return std::static_pointer_cast<Volume>(made);
    }
  }
  if (!project->orphans().empty()) {
    const std::lock_guard lock(maintenance_mutex_);
    opened_.push_back(made);
    wake_.notify_all();
  }
  return std::static_pointer_cast<Volume>(made);
}

void LocalStore::reclaim_soon(meta::ProjectNo number) {
  std::shared_ptr<fs::ProjectVolume> volume;
  {
    const std::lock_guard lock(table_mutex_);
    if (const auto it = volumes_.find(number); it != volumes_.end()) volume = it->second.lock();
  }
  // Who opens it later reclaims them then.
  if (!volume) return;
  const std::lock_guard lock(maintenance_mutex_);
  opened_.push_back(std::move(volume));
  wake_.notify_all();
}

Result<std::shared_ptr<Snapshots>> LocalStore::snapshots(std::string_view id) {
  PROJFS_ASSIGN(const auto project, find(id));
  const std::lock_guard lock(table_mutex_);
  if (!projects_.contains(project->number())) {
    return fail(ENOENT, "project " + std::string(id) + " has just been destroyed");
  }
  return std::static_pointer_cast<Snapshots>(snapshots_of(project));
}

std::shared_ptr<snapshot::ProjectSnapshots> LocalStore::snapshots_of(const ProjectPtr& project) {
  auto& slot = snapshots_[project->number()];
  auto present = slot.lock();
  if (!present) {
    present = std::make_shared<snapshot::ProjectSnapshots>(
        *engine_, project, pauses_,
        [this] {
          look_for_clones_ = true;
          wake_.notify_all();
        },
        [this, number = project->number()] { reclaim_soon(number); });
    slot = present;
  }
  return present;
}

}  // namespace host
}  // namespace projfs
