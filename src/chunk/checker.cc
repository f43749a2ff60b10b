// SPDX-License-Identifier: MIT
#include "chunk/checker.h"

#include <algorithm>

#include "chunk/hasher.h"

namespace projfs::chunks {
namespace {
std::string name(ChunkNo chunk) { return "chunk " + std::to_string(chunk); }
}  // namespace

void Checker::problem(std::string what) {
  if (problems_.size() < kMostProblems) {
    problems_.push_back({std::move(what)});
  } else {
    ++unreported_;
  }
}

Result<std::vector<ChunkProblem>> Checker::check(const rocksdb::Snapshot* at,
                                                 const References& expected, bool read_data) {
  std::shared_ptr<const rocksdb::Snapshot> own;
  if (at == nullptr) {
    own.reset(core_.db.raw().GetSnapshot(),
              [this](const auto* s) { core_.db.raw().ReleaseSnapshot(s); });
    at = own.get();
  }
  at_ = at;
  PROJFS_TRY(load_snapshot_state());
  for (ChunkNo first = 0; first < next_; first += kRange) {
    PROJFS_TRY(check_range(first, expected, read_data));
  }
  PROJFS_TRY(check_hash_count());
  PROJFS_TRY(check_packs());
  PROJFS_TRY(check_mirrors());
  if (unreported_ > 0) {
    problems_.push_back({"and " + std::to_string(unreported_) + " more problems"});
  }
  return std::move(problems_);
}

Status Checker::load_snapshot_state() {
  Ledger ledger(core_.db);
  PROJFS_TRY(ledger.load(at_));
  ledger_ = ledger.packs();
  totals_ = ledger.totals();
  PROJFS_ASSIGN(const auto next, core_.db.get(Family::kSystem, kNextChunkKey, at_));
  if (next) next_ = std::max<ChunkNo>(1, Reader(*next).be64());
  // Records beyond the next number are a problem of their own; they are still looked at.
  auto it = core_.db.scan(Family::kChunks, nullptr, at_);
  it->SeekToLast();
  if (it->Valid()) {
    const auto last = Reader(it->key().ToStringView()).be64();
    if (last >= next_) {
      problem(name(last) + " exists, but the next number is " + std::to_string(next_));
      next_ = last + 1;
    }
  }
  const std::string prefix(kIngestPrefix);
  const auto end = prefix_end(prefix);
  const rocksdb::Slice upper(end);
  it = core_.db.scan(Family::kSystem, &upper, at_);
  for (it->Seek(prefix); it->Valid(); it->Next()) {
    Reader value(it->value().ToStringView());
    auto numbers = Intervals::decode(value);
    if (numbers) {
      markers_.push_back(std::move(*numbers));
    } else {
      problem("an ingestion marker is malformed");
    }
  }
  return from_rocksdb(it->status(), "reading the ingestion markers");
}

Status Checker::check_range(ChunkNo first, const References& expected, bool read_data) {
  const auto size = std::min<std::uint64_t>(kRange, next_ - first);
  std::vector<std::int32_t> wanted(size, 0);
  PROJFS_TRY(expected([&](ChunkNo chunk) {
    if (chunk - first < size) {
      ++wanted[chunk - first];
    } else if (chunk >= next_ && first == 0) {
      problem("a reference leads to " + name(chunk) + ", a number never given out");
    }
  }));

  const auto end_key = number_key(first + size);
  const rocksdb::Slice upper(end_key);
  const auto refs = core_.db.scan(Family::kRefs, &upper, at_);
  std::vector<std::int64_t> counts(size, 0);
  for (refs->Seek(number_key(first)); refs->Valid(); refs->Next()) {
    const auto chunk = Reader(refs->key().ToStringView()).be64();
    const auto count = decode_counters(refs->value().ToStringView());
    if (!count) {
      problem("the reference count of " + name(chunk) + " is malformed");
    } else {
      counts[chunk - first] = (*count)[0];
    }
  }
  PROJFS_TRY(from_rocksdb(refs->status(), "reading the reference counts"));

  std::vector<bool> exists(size, false);
  std::vector<std::pair<ChunkNo, ChunkRecord>> run;
  std::vector<std::int64_t> run_counts;
  const auto flush = [&]() -> Status {
    auto status = check_chunks(run, run_counts, read_data);
    run.clear();
    run_counts.clear();
    return status;
  };
  const auto it = core_.db.scan(Family::kChunks, &upper, at_);
  for (it->Seek(number_key(first)); it->Valid(); it->Next()) {
    const auto chunk = Reader(it->key().ToStringView()).be64();
    exists[chunk - first] = true;
    const auto record = ChunkRecord::decode(it->value().ToStringView());
    if (!record) {
      problem("the record of " + name(chunk) + " is malformed");
      continue;
    }
    run.emplace_back(chunk, *record);
    run_counts.push_back(counts[chunk - first]);
    if (run.size() == 256) PROJFS_TRY(flush());
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the chunk index"));
  PROJFS_TRY(flush());

  for (std::uint64_t i = 0; i < size; ++i) {
    if (counts[i] != wanted[i]) {
      problem(name(first + i) + " has a reference count of " + std::to_string(counts[i]) +
              ", but " + std::to_string(wanted[i]) + " references lead to it");
    }
    if (!exists[i] && (wanted[i] != 0 || counts[i] != 0)) {
      problem(name(first + i) + " is referenced, but not in the index");
    }
  }
  return {};
}

Status Checker::check_chunks(std::span<const std::pair<ChunkNo, ChunkRecord>> run,
                             std::span<const std::int64_t> counts, bool read_data) {
  if (run.empty()) return {};
  std::vector<ChunkHash> hashes;
  for (const auto& [chunk, record] : run) hashes.push_back(record.hash);
  PROJFS_ASSIGN(const auto numbers, core_.index.numbers_of(hashes, at_));
  for (std::size_t i = 0; i < run.size(); ++i) {
    const auto& [chunk, record] = run[i];
    if (record.indexed) {
      ++indexed_;
      if (numbers[i] == 0) {
        problem("the hash index does not know " + name(chunk));
      } else if (numbers[i] != chunk) {
        problem("the hash index leads from the hash of " + name(chunk) + " to " + name(numbers[i]));
      }
    }
    check_place(chunk, record);
    auto& pack = packs_[record.block.pack];
    pack.counts.add(record, 1);
    pack.end = std::max(pack.end, record.block.offset + record.block.stored);
    seen_.add(record, 1);
    if (counts[i] == 0) {
      PROJFS_ASSIGN(const bool candidate, is_candidate(chunk));
      if (!candidate) problem(name(chunk) + " has no reference and will never be removed");
    }
    if (read_data) check_data(chunk, record);
  }
  return {};
}

void Checker::check_place(ChunkNo chunk, const ChunkRecord& record) {
  const auto it = ledger_.find(record.block.pack);
  if (it == ledger_.end()) {
    problem(name(chunk) + " is in " + pack_name(record.block.pack) + ", which has no counters");
    return;
  }
  if (!it->second.record.numbers.contains(chunk)) {
    problem(pack_name(record.block.pack) + " holds " + name(chunk) +
            ", which its number ranges leave out");
  }
  if (record.block.offset < kPackHeader ||
      record.block.offset + record.block.stored > it->second.record.end) {
    problem(name(chunk) + " lies outside of the committed part of " + pack_name(record.block.pack));
  }
}

void Checker::check_data(ChunkNo chunk, ChunkRecord record) {
  BlockPtr block;
  for (const auto& [place, kept] : recent_) {
    if (place == record.block) block = kept;
  }
  if (!block) {
    auto loaded = reader_.block_of(chunk, record, false);
    if (!loaded) {
      // Removed since the snapshot was taken, its references with it?
      const auto now = core_.index.record(chunk);
      if (!now || *now) problem(loaded.error().describe());
      return;
    }
    block = *loaded;
    if (recent_.size() < 8) {
      recent_.emplace_back(record.block, block);
    } else {
      recent_[recent_at_++ % recent_.size()] = {record.block, block};
    }
  }
  if (record.keyed) return;
  const auto hash = sha256(block->bytes().subspan(record.offset, record.length));
  if (!hash) {
    problem(hash.error().describe());
  } else if (*hash != record.hash) {
    const Error why{EIO, "its content has the SHA-256 " + to_hex(*hash)};
    problem(reader_.damaged(chunk, record, why).value().describe());
  }
}

Result<bool> Checker::is_candidate(ChunkNo chunk) const {
  for (const auto& marker : markers_) {
    if (marker.contains(chunk)) return true;
  }
  const auto end = number_key(chunk + 1);
  const rocksdb::Slice upper(end);
  const auto it = core_.db.scan(Family::kDead, &upper, at_);
  it->Seek(number_key(chunk));
  PROJFS_TRY(from_rocksdb(it->status(), "reading the list of unused chunks"));
  return it->Valid();
}

Status Checker::check_hash_count() {
  std::uint64_t entries = 0;
  std::vector<ChunkHash> none;
  const auto it = core_.db.scan(Family::kHashes, nullptr, at_);
  for (it->SeekToFirst(); it->Valid(); it->Next()) ++entries;
  PROJFS_TRY(from_rocksdb(it->status(), "reading the hash index"));
  // Every indexed chunk was found under its hash, so equal numbers mean there is nothing else.
  if (entries == indexed_) return {};
  problem("the hash index has " + std::to_string(entries) + " entries for " +
          std::to_string(indexed_) + " chunks");
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    Reader value(it->value().ToStringView());
    const auto chunk = value.varint();
    const auto record = core_.index.record(chunk, at_);
    if (record && (!*record || hash_key((*record)->hash) != it->key().ToStringView())) {
      problem("the hash index leads to " + name(chunk) + ", which does not have that hash");
    }
  }
  return {};
}

Status Checker::check_packs() {
  for (const auto& [number, seen] : packs_) {
    if (!ledger_.contains(number)) ledger_[number];
  }
  for (const auto& [number, entry] : ledger_) {
    const auto& seen = packs_[number];
    if (seen.counts != entry.counts) {
      problem("the counters of " + pack_name(number) + " say " +
              std::to_string(entry.counts.chunks) + " chunks of " +
              std::to_string(entry.counts.raw) + " bytes, stored in " +
              std::to_string(entry.counts.stored) + "; its records " +
              std::to_string(seen.counts.chunks) + ", " + std::to_string(seen.counts.raw) + ", " +
              std::to_string(seen.counts.stored));
    }
    // Emptied, and perhaps removed, since the snapshot: its file is no concern any more.
    if (seen.counts.chunks == 0 || core_.ledger.pack(number).counts.chunks == 0) continue;
    const auto path = core_.packs.path_of(number);
    const auto file = core_.env.open(path, Env::Open::kRead);
    if (!file) {
      problem(path + ": " + file.error().describe());
      continue;
    }
    const auto size = (*file)->size();
    if (size && *size < seen.end) {
      problem(path + " has " + std::to_string(*size) + " bytes, but its chunks need " +
              std::to_string(seen.end));
    }
    std::array<std::uint8_t, kPackHeader> header;
    const auto n = (*file)->read(0, header);
    const auto sound = n ? check_pack_header(number, Bytes(header).first(*n))
                         : Status(tl::unexpected<Error>(n.error()));
    if (!sound) problem(path + ": " + sound.error().describe());
  }
  if (seen_ != totals_) {
    problem("the totals say " + std::to_string(totals_.chunks) + " chunks of " +
            std::to_string(totals_.raw) + " bytes; the records " + std::to_string(seen_.chunks) +
            ", " + std::to_string(seen_.raw));
  }
  return {};
}

Status Checker::check_mirrors() {
  const std::lock_guard lock(core_.commit);
  Ledger stored(core_.db);
  PROJFS_TRY(stored.load());
  if (stored.totals() != core_.ledger.totals()) {
    problem("the chunk totals in memory differ from those in the index");
  }
  if (stored.pack_counts() != core_.ledger.pack_counts()) {
    problem("the pack counters in memory differ from those in the index");
  }
  return {};
}

}  // namespace projfs::chunks
