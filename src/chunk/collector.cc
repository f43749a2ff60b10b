// SPDX-License-Identifier: MIT
#include "chunk/collector.h"

#include "projfs/log.h"

namespace projfs::chunks {

namespace {
// Bounds how long a round of ingestion waits for a batch of removals.
constexpr std::size_t kStep = 512;
}  // namespace

Result<bool> Collector::collect(std::size_t max_chunks) {
  const std::lock_guard lock(mutex_);
  bool more_leftovers = false;
  PROJFS_TRY(settle_leftovers(std::max(max_chunks, kStep), more_leftovers));
  std::size_t removed = 0;
  // Candidates that are in use again cost a look, too.
  std::size_t looks = max_chunks > SIZE_MAX / 8 ? SIZE_MAX : max_chunks * 8;
  bool more = true;
  while (more && removed < max_chunks && looks > 0) {
    PROJFS_ASSIGN(const auto candidates, next(std::min({kStep, looks, max_chunks - removed})));
    more = candidates.more;
    looks -= candidates.chunks.size();
    PROJFS_ASSIGN(const auto n, remove(candidates));
    removed += n;
  }
  if (!more) cursor_.clear();
  return more || more_leftovers;
}

Status Collector::settle_leftovers(std::size_t most, bool& more) {
  const std::lock_guard lock(core_.leftovers_mutex);
  while (!core_.leftovers.empty()) {
    const auto first = core_.leftovers.begin();
    PROJFS_ASSIGN(more, core_.settle(first->first, first->second, most));
    if (more) return {};
    core_.leftovers.erase(first);
    // New entries may lie before the cursor.
    cursor_.clear();
  }
  return {};
}

Result<Collector::Candidates> Collector::next(std::size_t most) {
  Candidates c;
  const auto it = core_.db.scan(Family::kDead);
  for (it->Seek(cursor_); it->Valid(); it->Next()) {
    Reader key(it->key().ToStringView());
    const auto chunk = key.be64();
    if (c.chunks.empty() || c.chunks.back() != chunk) {
      if (c.chunks.size() == most) {
        c.more = true;
        break;
      }
      c.chunks.push_back(chunk);
    }
    c.keys.push_back(it->key().ToString());
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the list of unused chunks"));
  if (!c.keys.empty()) cursor_ = c.keys.back() + '\0';
  return c;
}

Result<std::size_t> Collector::remove(const Candidates& candidates) {
  if (candidates.chunks.empty()) return 0;
  rocksdb::WriteBatch batch;
  LedgerChange change;
  std::size_t removed = 0;
  const std::unique_lock life(core_.life);
  const std::lock_guard commit(core_.commit);
  // Pins first, counts second: a round that has ended by then has its references in the counts.
  std::vector<bool> keep_entry(candidates.chunks.size(), false);
  {
    const std::lock_guard pins_lock(core_.pins_mutex);
    for (std::size_t i = 0; i < candidates.chunks.size(); ++i) {
      for (const auto* pins : core_.pins) {
        if (pins->contains(candidates.chunks[i])) keep_entry[i] = true;
      }
    }
  }
  PROJFS_ASSIGN(const auto counts, core_.index.references(candidates.chunks));
  PROJFS_ASSIGN(const auto records, core_.index.records(candidates.chunks));
  for (std::size_t i = 0; i < candidates.chunks.size(); ++i) {
    const auto chunk = candidates.chunks[i];
    if (keep_entry[i] || counts[i] > 0) continue;
    if (counts[i] < 0) {
      // Somebody dropped a reference twice; losing data to that would make it worse.
      log::error("chunk {} has a reference count of {}", chunk, counts[i]);
      continue;
    }
    batch.Delete(core_.db.family(Family::kRefs), number_key(chunk));
    if (!records[i]) continue;
    batch.Delete(core_.db.family(Family::kChunks), number_key(chunk));
    if (records[i]->indexed) {
      batch.Delete(core_.db.family(Family::kHashes), rocksdb::Slice(hash_key(records[i]->hash)));
    }
    change.remove(*records[i]);
    ++removed;
  }
  std::size_t at = 0;
  for (const auto& key : candidates.keys) {
    if (number_key(candidates.chunks[at]) != std::string_view(key).substr(0, 8)) ++at;
    if (!keep_entry[at]) batch.Delete(core_.db.family(Family::kDead), key);
  }
  core_.ledger.write(batch, change);
  ++core_.removals;
  PROJFS_TRY(core_.db.commit(batch));
  core_.ledger.adopt(change);
  return removed;
}

}  // namespace projfs::chunks
