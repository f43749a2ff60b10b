// SPDX-License-Identifier: MIT
//
// Making and opening a store, and recovery: the index recovers itself from its log, packs drop what
// no index record names, and the stage is replayed over the index.
#include <sys/stat.h>
#include <algorithm>
#include <ctime>
#include <filesystem>

#include "fs/data_change.h"
#include "fs/frozen_state.h"
#include "host/local_store.h"
#include "meta/change.h"
#include "projfs/log.h"
#include "snapshot/rollback.h"

namespace projfs {

Status Store::init(Env& env, const std::string& directory, rocksdb::Env* database_env) {
  PROJFS_ASSIGN(const bool there, env.exists(directory));
  if (there) {
    PROJFS_ASSIGN(const auto names, env.list(directory));
    if (std::find(names.begin(), names.end(), "STORE") != names.end()) {
      return fail(EEXIST, directory + " is a projfs store already");
    }
    if (!names.empty()) {
      return fail(ENOTEMPTY, directory + " is not empty: a store needs a directory of its own");
    }
  } else {
    PROJFS_TRY(env.make_directory(directory, 0700));
    const auto parent = std::filesystem::absolute(directory).parent_path();
    PROJFS_TRY(env.sync_directory(parent.string()));
  }
  Database::Options index;
  index.create = true;
  index.env = database_env;
  PROJFS_ASSIGN(auto db, Database::open(directory + "/meta", index));
  PROJFS_TRY(env.make_directory(directory + "/packs", 0700));
  PROJFS_TRY(env.make_directory(directory + "/stage", 0700));
  rocksdb::WriteBatch batch;
  std::string zero;
  put_varint(zero, 0);
  batch.Put(db->family(Family::kSystem),
            rocksdb::Slice(meta::kBootKey.data(), meta::kBootKey.size()), zero);
  PROJFS_TRY(db->commit(batch, true));
  db.reset();
  // Last, so that a directory is a store only once all of it is there.
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return host::write_identity(
      env, directory, {kStoreFormat, host::random_uuid(), now.tv_sec * 1000000000ll + now.tv_nsec});
}

Result<std::unique_ptr<Store>> Store::open(const std::string& directory, const Options& options) {
  PROJFS_ASSIGN(auto store, host::LocalStore::open(directory, options));
  return std::unique_ptr<Store>(std::move(store));
}

namespace host {
namespace {

// Sequence numbers of the stage: each opening of the store has a range of its own, so that a number
// given out before a crash, and lost with it, is never given out again.
constexpr unsigned kBootShift = 40;

Result<std::uint64_t> next_boot(Database& db) {
  PROJFS_ASSIGN(const auto value, db.get(Family::kSystem, meta::kBootKey));
  if (!value) return fail(EIO, "the index lacks its boot counter: it is not this store's");
  const auto boot = Reader(*value).varint() + 1;
  std::string next;
  put_varint(next, boot);
  rocksdb::WriteBatch batch;
  batch.Put(db.family(Family::kSystem),
            rocksdb::Slice(meta::kBootKey.data(), meta::kBootKey.size()), next);
  PROJFS_TRY(db.commit(batch, true));
  return boot;
}

std::uint64_t default_reserve(const DiskSpace& disk) {
  const std::uint64_t wanted =
      std::clamp<std::uint64_t>(disk.total_bytes / 100, 256ull << 20, 8ull << 30);
  return std::min(wanted, disk.total_bytes / 8);
}

// A small stage has small segments: whole ones are recycled, so a few of them are its grain.
Stage::Options stage_options(const Store::Options& options) {
  Stage::Options stage;
  stage.segment_bytes = std::clamp<std::uint64_t>(options.stage_bytes / 32 / 4096 * 4096, 256 << 10,
                                                  stage.segment_bytes);
  // Making the next segment ahead is work in the background.
  if (!options.background) stage.spare_segments = 0;
  return stage;
}

}  // namespace

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& directory,
                                                     const Options& options) {
  Env& env = options.env != nullptr ? *options.env : Env::posix();
  PROJFS_ASSIGN(const bool there, env.exists(directory));
  if (!there) return fail(ENOENT, "there is no directory " + directory);
  std::unique_ptr<LocalStore> self(new LocalStore(directory, options));
  PROJFS_ASSIGN(self->identity_, read_identity(env, directory));
  PROJFS_ASSIGN(self->lock_, StoreLock::acquire(directory));
  PROJFS_ASSIGN(const bool index_there, env.exists(directory + "/meta/CURRENT"));
  if (!index_there) {
    return fail(EIO, "the store " + directory + " is damaged: its index (meta/) is missing");
  }

  Database::Options index;
  index.block_cache_bytes = options.index_cache_bytes;
  index.write_buffer_bytes = options.index_buffer_bytes;
  index.env = options.database_env;
  PROJFS_ASSIGN(self->db_, Database::open(directory + "/meta", index));
  PROJFS_ASSIGN(const auto boot, next_boot(*self->db_));
  PROJFS_ASSIGN(self->answers_, meta::Answers::load(*self->db_, boot));

  ChunkStore::Options chunks;
  chunks.average_chunk = options.average_chunk;
  chunks.block_bytes = options.block_bytes;
  chunks.compression_level = options.compression_level;
  chunks.block_cache_bytes = options.block_cache_bytes;
  PROJFS_ASSIGN(self->chunks_, ChunkStore::open(env, *self->db_, directory + "/packs", chunks));

  self->lineages_ = std::make_unique<meta::Lineages>(*self->db_);
  self->inodes_ = std::make_unique<fs::InodeCache>(*self->db_, options.inode_cache);
  PROJFS_ASSIGN(const auto disk, env.space(directory));
  self->space_ = std::make_unique<fs::SpaceGauge>(
      env, directory, options.reserve_bytes != 0 ? options.reserve_bytes : default_reserve(disk));
  self->space_->refresh();
  self->index_sync_ = std::make_unique<fs::IndexSync>(*self->db_);
  self->opened_at_ = self->index_sync_->position();

  std::vector<Staged> staged;
  PROJFS_ASSIGN(
      self->stage_,
      Stage::open(
          env, directory + "/stage", stage_options(options), (boot << kBootShift) + 1,
          [&](const StageRecord& record, StageSeq seq, const StageRef& ref) -> Result<bool> {
            PROJFS_ASSIGN(const bool needed, self->still_needed(record, seq));
            if (needed && self->readable(record.project)) staged.push_back({record, seq, ref});
            return needed;
          }));
  self->engine_.reset(new fs::Engine{*self->db_, *self->chunks_, *self->stage_, *self->inodes_,
                                     *self->space_, *self->index_sync_, *self->answers_});
  fs::Ingester::Options ingest;
  ingest.threads = options.background ? options.ingest_threads : 0;
  ingest.stage_bytes = options.stage_bytes;
  ingest.overlay_extents = options.overlay_extents;
  ingest.quiet = std::chrono::milliseconds(options.ingest_after_ms);
  self->ingester_ = std::make_unique<fs::Ingester>(*self->engine_, ingest);
  self->engine_->ingester = self->ingester_.get();
  if (options.background) {
    self->reclaimer_ = std::make_unique<fs::Reclaimer>();
    self->engine_->reclaimer = self->reclaimer_.get();
  }
  PROJFS_TRY(self->complete_rollbacks());
  PROJFS_TRY(self->recover(staged));
  if (options.background) {
    self->maintenance_ = std::thread([store = self.get()] { store->maintain(); });
  }
  return self;
}

bool LocalStore::readable(meta::ProjectNo number) {
  const std::lock_guard lock(table_mutex_);
  return load(number).has_value();
}

// Whether the index does not hold yet what the record says. Records of inodes that do not exist are
// void: their creation never became durable, or they are gone.
Result<bool> LocalStore::still_needed(const StageRecord& record, StageSeq seq) {
  const std::lock_guard lock(table_mutex_);
  const auto project = load(record.project);
  if (!project) {
    if (project.error().code == ENOENT) return false;
    if (project.error().code != EBADMSG) return tl::unexpected<Error>(project.error());
    // A damaged project keeps the others from nothing. What is staged of it is kept, unread.
    log::error("{}: what is staged of a damaged project cannot be replayed: {}", directory_,
               project.error().describe());
    return true;
  }
  const auto inode = inodes_->get(*project, record.inode);
  if (!inode) {
    if (inode.error().code == ESTALE) return false;
    return tl::unexpected<Error>(inode.error());
  }
  // The number was another inode's before, whose creation did not become durable either: only a
  // regular file has data, and a floor that says which is its own.
  if (!S_ISREG((*inode)->record.mode)) return false;
  return seq > (*inode)->record.data_floor;
}

// Nothing of such a project is staged that counts: all of it was ingested before the rollback was
// ordered.
Status LocalStore::complete_rollbacks() {
  PROJFS_ASSIGN(const auto ordered, snapshot::Rollback::ordered(*db_));
  for (const auto number : ordered) {
    ProjectPtr project;
    {
      const std::lock_guard lock(table_mutex_);
      auto found = load(number);
      if (!found && found.error().code == ENOENT) continue;  // destroyed
      PROJFS_TRY(found);
      project = std::move(*found);
    }
    const std::unique_lock alone(project->quiesce);
    snapshot::Rollback work(*engine_, project);
    if (const auto done = work.run(); done) {
      log::info("{}: completed the rollback of project {}", directory_, project->id());
    } else {
      log::error(
          "{}: the rollback of project {} cannot be completed, a part of it stays as it was: {}",
          directory_, project->id(), done.error().describe());
      PROJFS_TRY(work.cancel());
    }
  }
  return {};
}

Status LocalStore::recover(const std::vector<Staged>& staged) {
  std::uint64_t bytes = 0;
  std::vector<fs::InodePtr> replayed;
  for (const auto& s : staged) {
    ProjectPtr project;
    {
      const std::lock_guard lock(table_mutex_);
      PROJFS_ASSIGN(project, load(s.record.project));
    }
    PROJFS_ASSIGN(const auto inode, inodes_->get(project, s.record.inode));
    {
      const std::unique_lock lock(inode->mutex);
      PROJFS_ASSIGN(const auto epoch, project->epoch_of(*db_, s.seq));
      fs::enter_epoch(*inode, epoch);
      PROJFS_ASSIGN(const auto effect, fs::effect_of(*engine_, *inode, s.record));
      // It was within the quota when it was acknowledged; a quota lowered since does not undo it.
      if (effect.allocated >= inode->allocated) {
        project->adopt(effect.allocated - inode->allocated);
      } else {
        project->refund(inode->allocated - effect.allocated, 0);
      }
      PROJFS_TRY(fs::apply(*engine_, *inode, s.record, effect, {&s.ref, 1}));
    }
    replayed.push_back(inode);
    bytes += s.ref.length;
  }
  // Not before an inode has all its records: one ingested half way through would be written down as
  // if it had only the first ones, and the rest would move times that were set after them.
  for (const auto& inode : replayed) ingester_->enqueue(inode);
  if (!staged.empty()) {
    log::info("{}: replayed {} staged records with {} bytes", directory_, staged.size(), bytes);
  }
  return {};
}

}  // namespace host
}  // namespace projfs
