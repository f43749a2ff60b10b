// SPDX-License-Identifier: MIT
#include "projfs/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <filesystem>

#include "base/log_gate.h"
#include "base/log_replay.h"
#include "base/memtable.h"
#include "projfs/bytes.h"
#include "projfs/log.h"

namespace projfs {
namespace {

constexpr std::array<const char*, kFamilies> kNames = {
    "default", "live", "history", "changes", "counters", "hashes", "chunks", "refs", "dead"};

class AddVectors final : public rocksdb::AssociativeMergeOperator {
 public:
  bool Merge(const rocksdb::Slice& /*key*/, const rocksdb::Slice* existing,
             const rocksdb::Slice& value, std::string* out,
             rocksdb::Logger* /*logger*/) const override {
    CounterVector sum{};
    if (existing != nullptr) {
      const auto base = decode_counters({existing->data(), existing->size()});
      if (!base) return false;
      sum = *base;
    }
    const auto delta = decode_counters({value.data(), value.size()});
    if (!delta) return false;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += (*delta)[i];
    *out = encode_counters(sum);
    return true;
  }
  [[nodiscard]] const char* Name() const override { return "projfs.AddVectors.1"; }
};

bool merges(Family f) { return f == Family::kCounters || f == Family::kRefs; }

rocksdb::ColumnFamilyOptions family_options(Family f, const std::shared_ptr<rocksdb::Cache>& cache,
                                            std::uint64_t write_buffer_bytes) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.block_size = 8 << 10;
  table.format_version = 5;
  // Point look-ups that miss (a new name, a new chunk) are the common case on the write path.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));

  rocksdb::ColumnFamilyOptions o;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  o.memtable_factory = std::make_shared<BytewiseMemtables>();
  o.write_buffer_size = write_buffer_bytes / 2;
  o.max_write_buffer_number = 3;
  o.level_compaction_dynamic_level_bytes = true;
  o.compression = rocksdb::kLZ4Compression;
  o.bottommost_compression = rocksdb::kZSTD;
  o.memtable_whole_key_filtering = f == Family::kLive || f == Family::kHashes;
  o.memtable_prefix_bloom_size_ratio = o.memtable_whole_key_filtering ? 0.02 : 0.0;
  // Hashes do not compress; trying costs the flush time.
  if (f == Family::kHashes) {
    o.compression = rocksdb::kNoCompression;
    o.bottommost_compression = rocksdb::kNoCompression;
  }
  if (merges(f)) {
    o.merge_operator = std::make_shared<AddVectors>();
    // A counter that every batch touches would otherwise pile up operands until the flush.
    o.max_successive_merges = 64;
  }
  return o;
}

}  // namespace

std::string encode_counters(const CounterVector& values) {
  std::size_t n = values.size();
  while (n > 0 && values[n - 1] == 0) --n;
  std::string out;
  for (std::size_t i = 0; i < n; ++i) put_varint(out, zigzag(values[i]));
  return out;
}

std::optional<CounterVector> decode_counters(std::string_view data) {
  CounterVector values{};
  Reader in(data);
  for (std::size_t i = 0; !in.empty(); ++i) {
    if (i == values.size()) return std::nullopt;
    values[i] = in.signed_varint();
    if (!in.ok()) return std::nullopt;
  }
  return values;
}

Status from_rocksdb(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return {};
  const int code = status.IsNoSpace() ? ENOSPC : EIO;
  return fail(code, std::string(what) + ": " + status.ToString());
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const Options& options) {
  std::unique_ptr<Database> self(new Database());
  self->cache_ = rocksdb::NewLRUCache(options.block_cache_bytes, -1, false, 0.3);

  rocksdb::DBOptions o;
  self->env_ = std::make_unique<LogGateEnv>(
      hide_headless_logs(options.env != nullptr ? *options.env : *o.env));
  o.env = self->env_.get();
  o.create_if_missing = options.create;
  o.error_if_exists = options.create;
  o.create_missing_column_families = options.create;
  o.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(options.write_buffer_bytes, nullptr);
  o.db_write_buffer_size = options.write_buffer_bytes;
  o.max_total_wal_size = 48ull << 20;
  o.max_open_files = 512;
  o.max_background_jobs = 2;
  o.keep_log_file_num = 3;
  o.max_log_file_size = 4 << 20;
  o.info_log_level = rocksdb::WARN_LEVEL;
  o.bytes_per_sync = 1 << 20;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;

  // Stops at the first record that a crash tore. RocksDB recycles logs in the mode "skip corrupted"
  // alone (in any other it silently sets recycle_log_file_num to 0), which replays what lies behind
  // a tear.
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  auto replay = std::make_unique<ContiguousLogs>();
  o.wal_filter = replay.get();
  o.avoid_unnecessary_blocking_io = true;
  o.enable_pipelined_write = false;

  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (std::size_t i = 0; i < kFamilies; ++i) {
    families.emplace_back(kNames[i], family_options(static_cast<Family>(i), self->cache_,
                                                    options.write_buffer_bytes));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  PROJFS_TRY(from_rocksdb(rocksdb::DB::Open(o, path, families, &handles, &db),
                          "cannot open the index " + path));
  self->db_.reset(db);
  if (replay->dropped() > 0) {
    log::warn("{}: {} changes behind a gap in the log, never synced, were dropped", path,
              replay->dropped());
  }
  self->log_filter_ = std::move(replay);
  for (std::size_t i = 0; i < kFamilies; ++i) self->handles_[i] = handles[i];
  if (options.create) {
    // RocksDB syncs its directory, but not the entry that names it.
    const auto parent = std::filesystem::absolute(path).parent_path().string();
    std::unique_ptr<rocksdb::Directory> directory;
    PROJFS_TRY(from_rocksdb(o.env->NewDirectory(parent, &directory), "opening " + parent));
    PROJFS_TRY(from_rocksdb(directory->Fsync(), "syncing " + parent));
  }
  return self;
}

Database::~Database() {
  if (!db_) return;
  for (auto* handle : handles_) {
    if (handle != nullptr) db_->DestroyColumnFamilyHandle(handle);
  }
  db_->Close();
}

Result<std::optional<std::string>> Database::get(Family f, std::string_view key,
                                                 const rocksdb::Snapshot* at) const {
  rocksdb::ReadOptions options;
  options.snapshot = at;
  rocksdb::PinnableSlice value;
  const auto status = db_->Get(options, family(f), rocksdb::Slice(key.data(), key.size()), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  PROJFS_TRY(from_rocksdb(status, "reading the index"));
  return std::optional<std::string>(std::in_place, value.data(), value.size());
}

Status Database::commit(rocksdb::WriteBatch& batch, bool sync) {
  PROJFS_TRY(usable());
  PROJFS_TRY(kept(from_rocksdb(db_->Write({}, &batch), "writing the index")));
  return sync ? this->sync() : Status();
}

Status Database::sync() {
  const auto inside = static_cast<LogGateEnv&>(*env_).gate().enter();
  if (!inside) failed_ = true;
  PROJFS_TRY(usable());
  return kept(from_rocksdb(db_->SyncWAL(), "syncing the index"));
}

Status Database::usable() const {
  if (!failed_) [[likely]]
    return {};
  return fail(EIO,
              "the index could not be written before, and is not touched until it is opened again");
}

Status Database::kept(Status status) {
  if (!status) failed_ = true;
  return status;
}

std::unique_ptr<rocksdb::Iterator> Database::scan(Family f, const rocksdb::Slice* upper,
                                                  const rocksdb::Snapshot* at) const {
  rocksdb::ReadOptions options;
  options.snapshot = at;
  options.iterate_upper_bound = upper;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, family(f)));
}

std::uint64_t Database::memory_bytes() const {
  std::uint64_t total = cache_->GetUsage();
  for (auto* handle : handles_) {
    std::uint64_t v = 0;
    if (db_->GetIntProperty(handle, rocksdb::DB::Properties::kSizeAllMemTables, &v)) total += v;
    if (db_->GetIntProperty(handle, rocksdb::DB::Properties::kEstimateTableReadersMem, &v))
      total += v;
  }
  return total;
}

std::uint64_t Database::disk_bytes() const {
  std::uint64_t total = 0;
  for (auto* handle : handles_) {
    for (const auto& property : {rocksdb::DB::Properties::kTotalSstFilesSize,
                                 rocksdb::DB::Properties::kCurSizeActiveMemTable}) {
      std::uint64_t v = 0;
      if (db_->GetIntProperty(handle, property, &v)) total += v;
    }
  }
  return total;
}

Status Database::flush() {
  rocksdb::FlushOptions options;
  options.wait = true;
  return from_rocksdb(db_->Flush(options, {handles_.begin(), handles_.end()}),
                      "flushing the index");
}

}  // namespace projfs
