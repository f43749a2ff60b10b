// SPDX-License-Identifier: MIT
//
// One store, opened: its projects, their volumes, and the background work (ingestion, reclaiming,
// periodic sync). This is the engine's front door: the programs and the FUSE edge need nothing else
// but Volume.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <rocksdb/env.h>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/env.h"
#include "projfs/request_id.h"
#include "projfs/result.h"
#include "projfs/snapshots.h"
#include "projfs/volume.h"

namespace projfs {

inline constexpr std::uint32_t kStoreFormat = 1;  // the newest this code reads, and what it writes
inline constexpr std::uint64_t kUnlimited = UINT64_MAX;

// "[a-z0-9][a-z0-9._-]{0,62}"
[[nodiscard]] bool is_project_id(std::string_view id);

enum class DedupMode : std::uint8_t { kStore = 0, kProject = 1 };

struct Quota {
  std::uint64_t bytes = kUnlimited;
  std::uint64_t inodes = kUnlimited;
  std::uint64_t history_bytes = kUnlimited;
};
// The use of history at which no more snapshots are made: three times the quota of bytes unless it
// was said otherwise.
[[nodiscard]] inline std::uint64_t history_limit(const Quota& quota) {
  if (quota.history_bytes != kUnlimited || quota.bytes > kUnlimited / 3) return quota.history_bytes;
  return quota.bytes * 3;
}
struct Usage {
  std::uint64_t bytes = 0;   // allocated blocks of files plus xattr names and values
  std::uint64_t inodes = 0;  // the root and unlinked-but-open files included
  // What only snapshots keep: of each version of a piece of a file, the bytes that the next version
  // does not have at the same place. Before deduplication and compression; without what is staged.
  std::uint64_t history_bytes = 0;
};

struct ProjectSpec {
  std::string id;
  Quota quota;
  std::uint32_t uid = 0, gid = 0;  // owner of the root directory
  std::uint32_t root_mode = 0755;
  DedupMode dedup = DedupMode::kStore;
};

// What a clone still shares records with.
struct CloneBase {
  std::string project;  // its id; empty: destroyed
  std::uint64_t epoch = 0;
};

struct ProjectInfo {
  std::uint64_t number = 0;  // key prefix; never reused
  std::string id;
  std::int64_t created_ns = 0;
  std::uint64_t generation = 1;
  std::uint64_t epoch = 1;
  std::uint32_t uid = 0, gid = 0;
  DedupMode dedup = DedupMode::kStore;
  Quota quota;
  Usage usage;
  std::uint64_t staged_bytes = 0;
  std::optional<CloneBase> base;
  // A sentence if the project's record is damaged: then nothing is known but its number and id.
  std::string problem;
};

struct StoreStatus {
  std::string uuid, path;
  std::uint64_t logical_bytes = 0;  // what heads and snapshots reference
  std::uint64_t unique_bytes = 0;   // after deduplication
  std::uint64_t stored_bytes = 0;   // packs and index on disk
  std::uint64_t chunks = 0, packs = 0;
  double dedup_ratio = 1, compression_ratio = 1;
  std::uint64_t free_bytes = 0, reserve_bytes = 0;
  std::uint64_t projects = 0;
  std::uint64_t staged_bytes = 0, stage_disk_bytes = 0;
  std::uint64_t memory_index_bytes = 0;
};

struct StoreStats {  // since open
  std::uint64_t ingested_bytes = 0, new_chunk_bytes = 0, pack_bytes_written = 0;
  std::uint64_t ingest_rounds = 0, syncs = 0, writes_throttled = 0;
  std::uint64_t refused_quota = 0, refused_space = 0;
  std::uint64_t damaged_reads = 0;
  std::uint64_t inodes_cached = 0, overlay_extents = 0;
  std::uint64_t records_written = 0;  // to the index
  SnapshotPauses snapshot_pauses;
};

struct CheckReport {
  std::uint64_t projects = 0, inodes = 0, entries = 0, extents = 0, chunks = 0;
  std::vector<std::string> problems;  // sentences; empty: the store agrees with itself
};

class Store {
 public:
  struct Options {
    Env* env = nullptr;                    // null: Env::posix()
    rocksdb::Env* database_env = nullptr;  // null: RocksDB's default
    std::uint64_t index_cache_bytes = 64ull << 20;
    std::uint64_t index_buffer_bytes = 64ull << 20;
    std::uint64_t block_cache_bytes = 48ull << 20;
    std::uint64_t inode_cache = 65536;       // inodes
    std::uint64_t stage_bytes = 1ull << 30;  // writers wait for ingestion above this
    std::uint64_t overlay_extents = 200000;  // likewise
    std::uint64_t reserve_bytes = 0;         // 0: 1 % of the disk, at least 256 MiB, at most 8 GiB
    std::uint32_t average_chunk = 8 << 10;
    std::uint32_t block_bytes = 128 << 10;
    int compression_level = 1;
    unsigned ingest_threads = 1;
    std::int64_t ingest_after_ms = 2000;  // a file untouched for this long is ingested
    std::int64_t sync_every_ms = 5000;    // everything acknowledged is durable after this; 0: off
    bool background = true;               // false: only explicit calls work (tests)
    // Projects that a kernel has mounted since before: their unlinked files stay until it can be
    // asked which of them it still knows, that is until their volume gets a view of it.
    std::set<std::string, std::less<>> still_mounted;
  };

  // Makes a new store in `directory`: missing (its parent must exist) or empty, else
  // EEXIST/ENOTEMPTY.
  static Status init(Env& env, const std::string& directory, rocksdb::Env* database_env = nullptr);
  // ENOENT: not there or not a store; EBUSY: another daemon has it; EPROTONOSUPPORT: newer format;
  // EIO: damaged. Recovers from any crash by itself, in time bounded by stage_bytes.
  static Result<std::unique_ptr<Store>> open(const std::string& directory, const Options& options);
  // Ingests nothing, syncs everything: a store closed cleanly opens fast. REQUIRES: no Volume in
  // use.
  virtual ~Store() = default;

  // --- projects --- (ids unknown: ENOENT; malformed: EINVAL)
  virtual Result<ProjectInfo> create(const ProjectSpec& spec) = 0;  // EEXIST if taken
  // A project `id` that begins as a copy of another one, or of a snapshot of it unless `snapshot`
  // is empty, and is independent of it from then on. Costs the same whatever there is to copy: data
  // and records are shared; what of `source` was staged is ingested first. Owner, quotas,
  // deduplication and policy are those of `source`. EEXIST if taken; ENOENT; EDQUOT as from
  // Snapshots::create().
  virtual Result<ProjectInfo> clone(std::string_view source, std::string_view snapshot,
                                    std::string_view id) = 0;
  // The id is free at once; space comes back in the background, once no clone needs it. EBUSY while
  // a volume is in use.
  virtual Status destroy(std::string_view id) = 0;
  // Sorted by id. A damaged project is listed with its problem, and shown likewise.
  virtual Result<std::vector<ProjectInfo>> list() = 0;
  virtual Result<ProjectInfo> show(std::string_view id) = 0;
  virtual Status set_quota(std::string_view id, const Quota& quota) = 0;  // takes effect at once
  // The volume of a project; one object as long as anybody holds it.
  virtual Result<std::shared_ptr<Volume>> volume(std::string_view id) = 0;
  // The snapshots of a project; one object as long as anybody holds it. A volume of one of them
  // counts as a volume in use of the project. REQUIRES: not used after the project is destroyed.
  virtual Result<std::shared_ptr<Snapshots>> snapshots(std::string_view id) = 0;

  // --- requests that outlived the process that was to answer them (request_id.h) ---
  // What was done for a request before this opening of the store, if that must not be done twice:
  // the inode that tmpfile() made, the count that copy_range() copied, 0 for other operations.
  [[nodiscard]] virtual std::optional<std::uint64_t> answered(const RequestId& request) const = 0;
  // All kernels have the answers to their requests of before: none will be asked for again.
  virtual Status forget_answers() = 0;

  // --- the whole ---
  // ESTALE: what is at the store's path now is not the store that was opened.
  virtual Status verify_identity() { return {}; }
  virtual Result<StoreStatus> status() = 0;
  [[nodiscard]] virtual StoreStats stats() const = 0;
  // Ingests everything staged, now. Called by tests, `store gc` and export of figures.
  virtual Status ingest_all() = 0;
  // Everything acknowledged survives power loss.
  virtual Status sync() = 0;
  // Removes unreferenced chunks and compacts packs until there is nothing to gain.
  virtual Status collect_garbage() = 0;
  // Recomputes every counter, reference and link count from the records, while the store is in use.
  // `read_data` also verifies every block and chunk. `progress` (may be empty) gets 0..1.
  virtual Result<CheckReport> check(bool read_data,
                                    const std::function<void(double)>& progress) = 0;
};

}  // namespace projfs
