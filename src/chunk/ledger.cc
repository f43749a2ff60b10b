// SPDX-License-Identifier: MIT
#include "chunk/ledger.h"

#include <algorithm>

namespace projfs::chunks {

std::string Counts::encode() const { return encode_counters({chunks, raw, stored}); }

std::optional<Counts> Counts::decode(std::string_view data) {
  const auto v = decode_counters(data);
  if (!v) return std::nullopt;
  return Counts{(*v)[0], (*v)[1], (*v)[2]};
}

void LedgerChange::place(ChunkNo chunk, const ChunkRecord& record) {
  auto& pack = packs_[record.block.pack];
  pack.counts.add(record, 1);
  pack.end = std::max(pack.end, record.block.offset + record.block.stored);
  pack.numbers.insert(chunk);
  totals_.add(record, 1);
}

void LedgerChange::remove(const ChunkRecord& record) {
  packs_[record.block.pack].counts.add(record, -1);
  totals_.add(record, -1);
}

Status Ledger::load(const rocksdb::Snapshot* at) {
  const std::lock_guard lock(mutex_);
  const std::string first(1, kPackCounterPrefix);
  const auto last = prefix_end(first);
  const rocksdb::Slice upper(last);
  auto it = db_.scan(Family::kCounters, &upper, at);
  for (it->Seek(first); it->Valid(); it->Next()) {
    Reader key(it->key().ToStringView().substr(1));
    const auto number = key.be64();
    const auto counts = Counts::decode(it->value().ToStringView());
    if (!key.done() || !counts) return fail(EIO, "the index has a malformed pack counter");
    packs_[number].counts = *counts;
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the pack counters"));

  const std::string prefix(kPackPrefix);
  const auto end = prefix_end(prefix);
  const rocksdb::Slice record_upper(end);
  it = db_.scan(Family::kSystem, &record_upper, at);
  for (it->Seek(prefix); it->Valid(); it->Next()) {
    Reader key(it->key().ToStringView().substr(prefix.size()));
    const auto number = key.be64();
    auto record = PackRecord::decode(it->value().ToStringView());
    if (!key.done() || !record) return fail(EIO, "the index has a malformed pack record");
    packs_[number].record = std::move(*record);
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the pack records"));

  PROJFS_ASSIGN(const auto totals, db_.get(Family::kCounters, kTotalsKey, at));
  if (totals) {
    const auto counts = Counts::decode(*totals);
    if (!counts) return fail(EIO, "the index has a malformed chunk total");
    totals_ = *counts;
  }
  return {};
}

void Ledger::write(rocksdb::WriteBatch& batch, const LedgerChange& change) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, delta] : change.packs_) {
    batch.Merge(db_.family(Family::kCounters), pack_counter_key(number), delta.counts.encode());
    if (delta.end == 0) continue;
    const auto it = packs_.find(number);
    PackRecord record = it == packs_.end() ? PackRecord() : it->second.record;
    record.end = std::max(record.end, delta.end);
    for (const auto& [first, last] : delta.numbers.map()) record.numbers.insert(first, last);
    record.numbers.coarsen(PackRecord::kMostIntervals);
    batch.Put(db_.family(Family::kSystem), prefixed_key(kPackPrefix, number), record.encode());
  }
  batch.Merge(db_.family(Family::kCounters), rocksdb::Slice(kTotalsKey), change.totals_.encode());
}

void Ledger::adopt(const LedgerChange& change) {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, delta] : change.packs_) {
    auto& pack = packs_[number];
    pack.counts.add(delta.counts);
    pack.record.end = std::max(pack.record.end, delta.end);
    for (const auto& [first, last] : delta.numbers.map()) pack.record.numbers.insert(first, last);
    pack.record.numbers.coarsen(PackRecord::kMostIntervals);
  }
  totals_.add(change.totals_);
}

void Ledger::write_removal(rocksdb::WriteBatch& batch, std::uint64_t pack) const {
  batch.Delete(db_.family(Family::kCounters), pack_counter_key(pack));
  batch.Delete(db_.family(Family::kSystem), prefixed_key(kPackPrefix, pack));
}

void Ledger::adopt_removal(std::uint64_t pack) {
  const std::lock_guard lock(mutex_);
  packs_.erase(pack);
}

Counts Ledger::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

std::map<std::uint64_t, Ledger::PackEntry> Ledger::packs() const {
  const std::lock_guard lock(mutex_);
  return packs_;
}

std::vector<std::pair<std::uint64_t, Counts>> Ledger::pack_counts() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::uint64_t, Counts>> out;
  out.reserve(packs_.size());
  for (const auto& [number, entry] : packs_) out.emplace_back(number, entry.counts);
  return out;
}

Ledger::PackEntry Ledger::pack(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto it = packs_.find(number);
  return it == packs_.end() ? PackEntry() : it->second;
}

}  // namespace projfs::chunks
