// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>

#include "chunk/block_reader.h"
#include "chunk/checker.h"
#include "chunk/collector.h"
#include "chunk/compactor.h"
#include "chunk/core.h"
#include "chunk/ingest_round.h"
#include "projfs/chunk_store.h"
#include "projfs/log.h"

namespace projfs {
namespace chunks {
namespace {

Status load_numbers(Core& core) {
  ChunkNo next = 1;
  PROJFS_ASSIGN(const auto stored, core.db.get(Family::kSystem, kNextChunkKey));
  if (stored) {
    Reader in(*stored);
    next = std::max(next, in.be64());
    if (!in.done()) return fail(EIO, "the index has a malformed next chunk number");
  }
  const auto it = core.db.scan(Family::kChunks);
  it->SeekToLast();
  if (it->Valid()) {
    next = std::max(next, Reader(it->key().ToStringView()).be64() + 1);
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the chunk index"));
  core.set_next_number(next);
  // Tokens only have to differ from those still in the list, so the time will do as a start.
  core.set_first_token(static_cast<std::uint64_t>(
      std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)));
  return {};
}

Status load_leftovers(Core& core) {
  const std::string prefix(kIngestPrefix);
  const auto end = prefix_end(prefix);
  const rocksdb::Slice upper(end);
  const auto it = core.db.scan(Family::kSystem, &upper);
  for (it->Seek(prefix); it->Valid(); it->Next()) {
    Reader key(it->key().ToStringView().substr(prefix.size()));
    Reader value(it->value().ToStringView());
    const auto marker = key.be64();
    auto numbers = Intervals::decode(value);
    if (!key.done() || !numbers) return fail(EIO, "the index has a malformed ingestion marker");
    core.leftovers.emplace(marker, std::move(*numbers));
  }
  return from_rocksdb(it->status(), "reading the ingestion markers");
}

// Brings the directory in line with the index: what a crash left behind goes, what is missing or
// cut short is said loudly and served as far as it is there.
Status open_packs(Core& core) {
  PROJFS_ASSIGN(const bool there, core.env.exists(core.packs.directory()));
  if (!there) {
    PROJFS_TRY(core.env.make_directory(core.packs.directory(), 0700));
    const std::filesystem::path path(core.packs.directory());
    PROJFS_TRY(core.env.sync_directory(path.has_parent_path() ? path.parent_path().string() : "."));
  }
  PROJFS_ASSIGN(const auto found, core.packs.found());
  const auto known = core.ledger.packs();
  bool changed = false;
  for (const auto number : found) {
    const auto path = core.packs.path_of(number);
    const auto it = known.find(number);
    core.packs.never_reuse(number);
    if (it == known.end() || it->second.counts.chunks == 0) {
      log::info("removing {}: nothing in the index leads to it", path);
      PROJFS_TRY(core.env.remove(path));
      changed = true;
      continue;
    }
    PROJFS_ASSIGN(const auto file, core.env.open(path, Env::Open::kReadWrite));
    PROJFS_ASSIGN(auto size, file->size());
    const auto end = it->second.record.end;
    if (size > end) {
      log::info("cutting {} bytes that were never committed off {}", size - end, path);
      PROJFS_TRY(file->truncate(end));
      size = end;
    } else if (size < end) {
      log::error("DAMAGE: {} has {} bytes instead of {}", path, size, end);
    }
    core.packs.adopt(number, size);
  }
  if (changed) PROJFS_TRY(core.env.sync_directory(core.packs.directory()));
  for (const auto& [number, entry] : known) {
    core.packs.never_reuse(number);
    if (core.packs.size_of(number) != 0) continue;
    if (entry.counts.chunks != 0) {
      log::error("DAMAGE: {} is missing; {} chunks were in it", core.packs.path_of(number),
                 entry.counts.chunks);
      continue;
    }
    rocksdb::WriteBatch batch;
    core.ledger.write_removal(batch, number);
    core.damage.forget_pack(batch, number);
    PROJFS_TRY(core.db.commit(batch));
    core.ledger.adopt_removal(number);
  }
  // Goes on filling the newest pack, unless it is cut short: then offsets would not fit the index.
  if (const auto numbers = core.packs.numbers(); !numbers.empty()) {
    const auto newest = *std::max_element(numbers.begin(), numbers.end());
    if (core.packs.size_of(newest) == core.ledger.pack(newest).record.end) {
      if (const auto resumed = core.packs.resume(newest); !resumed) {
        log::error("DAMAGE: {}: {}", core.packs.path_of(newest), resumed.error().describe());
      }
    }
  }
  return {};
}

class Store final : public ChunkStore {
 public:
  Store(Env& env, Database& db, std::string directory, const Options& options)
      : core_(env, db, std::move(directory), options),
        reader_(core_),
        collector_(core_),
        compactor_(core_, reader_) {}

  Status open() {
    PROJFS_TRY(core_.ledger.load());
    PROJFS_TRY(core_.damage.load());
    PROJFS_TRY(load_numbers(core_));
    PROJFS_TRY(load_leftovers(core_));
    return open_packs(core_);
  }

  [[nodiscard]] std::vector<std::uint32_t> cut(Bytes data) const override {
    return core_.chunker.cut(data);
  }

  std::unique_ptr<Ingest> begin() override { return std::make_unique<IngestRound>(core_); }

  Status read(ChunkNo chunk, std::uint32_t offset, MutableBytes out) override {
    const Piece piece{chunk, offset, out};
    return reader_.read({&piece, 1});
  }

  Status read_many(std::span<const Piece> pieces) override { return reader_.read(pieces); }

  void add_reference(rocksdb::WriteBatch& batch, ChunkNo chunk, std::int64_t delta) override {
    CounterVector v{};
    v[0] = delta;
    batch.Merge(core_.db.family(Family::kRefs), number_key(chunk), encode_counters(v));
    if (delta < 0) {
      batch.Put(core_.db.family(Family::kDead), dead_key(chunk, core_.dead_token()), "");
    }
  }

  Result<bool> collect(std::size_t max_chunks) override { return collector_.collect(max_chunks); }
  Result<bool> compact(double dead_share) override { return compactor_.compact(dead_share); }

  Result<ChunkHash> hash_of(ChunkNo chunk) override {
    PROJFS_ASSIGN(const auto record, core_.index.record(chunk));
    if (!record) return fail(ENOENT, "chunk " + std::to_string(chunk) + " is not in the index");
    return record->hash;
  }

  [[nodiscard]] ChunkStoreStats stats() const override {
    const auto totals = core_.ledger.totals();
    ChunkStoreStats s;
    s.chunks = static_cast<std::uint64_t>(totals.chunks);
    s.unique_bytes = static_cast<std::uint64_t>(totals.raw);
    s.pack_bytes = core_.packs.total_bytes();
    s.packs = core_.packs.count();
    const auto live = static_cast<std::uint64_t>(totals.stored) + s.packs * kPackHeader;
    s.dead_bytes = s.pack_bytes > live ? s.pack_bytes - live : 0;
    return s;
  }

  Result<std::vector<ChunkProblem>> check(
      const rocksdb::Snapshot* at,
      const std::function<Status(const ReferenceSink&)>& expected_references,
      bool read_data) override {
    return Checker(core_, reader_).check(at, expected_references, read_data);
  }

 private:
  Core core_;
  BlockReader reader_;
  Collector collector_;
  Compactor compactor_;
};

}  // namespace
}  // namespace chunks

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(Env& env, Database& db, std::string directory,
                                                     const Options& options) {
  if (!std::has_single_bit(options.average_chunk) || options.average_chunk < 256 ||
      options.average_chunk > 1 << 20 || options.block_bytes == 0 ||
      options.block_bytes > 64 << 20 || options.pack_bytes < chunks::kPackHeader) {
    return fail(EINVAL, "chunk store: an option is out of range");
  }
  auto store = std::make_unique<chunks::Store>(env, db, std::move(directory), options);
  PROJFS_TRY(store->open());
  return store;
}

}  // namespace projfs
