// SPDX-License-Identifier: MIT
#include "host/local_store.h"

namespace projfs::host {

Status LocalStore::verify_identity() {
  Env& env = options_.env != nullptr ? *options_.env : Env::posix();
  const auto now = read_identity(env, directory_);
  if (now && now->uuid == identity_.uuid) return {};
  return fail(ESTALE, "what is at " + directory_ + " is not the store " + identity_.uuid +
                          " any more that this daemon has open (" +
                          (now ? "it is the store " + now->uuid : now.error().describe()) +
                          "); mount its disk there again, or restart projfsd");
}

Result<StoreStatus> LocalStore::status() {
  StoreStatus out;
  out.uuid = identity_.uuid;
  out.path = directory_;
  PROJFS_ASSIGN(const auto projects, list());
  out.projects = projects.size();
  for (const auto& p : projects) out.logical_bytes += p.usage.bytes + p.usage.history_bytes;
  const auto chunks = chunks_->stats();
  const auto index = db_->disk_bytes();
  out.unique_bytes = chunks.unique_bytes;
  out.stored_bytes = chunks.pack_bytes + index;
  out.chunks = chunks.chunks;
  out.packs = chunks.packs;
  out.staged_bytes = stage_->staged_bytes();
  out.stage_disk_bytes = stage_->disk_bytes();
  // What is still staged is in neither figure of the store yet.
  const auto ingested =
      out.logical_bytes > out.staged_bytes ? out.logical_bytes - out.staged_bytes : 0;
  if (out.unique_bytes != 0)
    out.dedup_ratio =
        std::max(1.0, static_cast<double>(ingested) / static_cast<double>(out.unique_bytes));
  if (chunks.pack_bytes != 0)
    out.compression_ratio =
        static_cast<double>(out.unique_bytes) / static_cast<double>(chunks.pack_bytes);
  space_->refresh();
  out.free_bytes = space_->free_bytes();
  out.reserve_bytes = space_->reserve_bytes();
  out.memory_index_bytes = db_->memory_bytes();
  return out;
}

StoreStats LocalStore::stats() const {
  const auto& c = engine_->counters;
  StoreStats out;
  out.ingested_bytes = c.ingested_bytes;
  out.new_chunk_bytes = c.new_chunk_bytes;
  out.pack_bytes_written = c.pack_bytes_written;
  out.ingest_rounds = c.ingest_rounds;
  out.syncs = index_sync_->count();
  out.writes_throttled = c.writes_throttled;
  out.refused_quota = c.refused_quota;
  out.refused_space = c.refused_space;
  out.inodes_cached = inodes_->size();
  out.overlay_extents = c.staged_records;
  out.records_written = index_sync_->position() - opened_at_;
  out.snapshot_pauses = pauses_.summary();
  return out;
}

}  // namespace projfs::host
