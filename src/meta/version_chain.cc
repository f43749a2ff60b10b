// SPDX-License-Identifier: MIT
#include "meta/version_chain.h"

#include <algorithm>

#include "meta/change.h"
#include "meta/snapshot_record.h"

namespace projfs::meta {
namespace {

// Is the iterator at a version of `key`?
bool at_version_of(const rocksdb::Iterator& it, std::string_view key) {
  return it.Valid() && it.key().size() == key.size() + 8 &&
         it.key().starts_with(rocksdb::Slice(key.data(), key.size()));
}

Result<SegmentVersion> version_at(const rocksdb::Iterator& it) {
  const auto value = decode_live(it.value().ToStringView());
  auto list = value ? ExtentList::decode(value->payload) : std::nullopt;
  if (!list) return fail(EIO, "a file map segment in history does not decode");
  const auto key = it.key().ToStringView();
  return SegmentVersion{value->born, Reader(key.substr(key.size() - 8)).be64(), std::move(*list)};
}

Result<std::vector<Epoch>> epochs_in(const Database& db, std::string_view table, ProjectNo project,
                                     Epoch born, Epoch last) {
  std::vector<Epoch> found;
  const auto end = snapshot_table_key(table, project, last + 1);
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kSystem, &upper);
  for (it->Seek(snapshot_table_key(table, project, born)); it->Valid() && found.size() < 2;
       it->Next()) {
    const auto key = it->key().ToStringView();
    found.push_back(Reader(key.substr(key.size() - 8)).be64());
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the table of snapshots"));
  return found;
}

}  // namespace

std::uint64_t difference(const ExtentList& a, const ExtentList& b) {
  std::uint64_t total = 0;
  auto other = b.extents().begin();
  for (const auto& e : a.extents()) {
    if (e.kind != ExtentKind::kChunk) continue;
    total += e.length;
    while (other != b.extents().end() && other->end() <= e.offset) ++other;
    for (auto o = other; o != b.extents().end() && o->offset < e.end(); ++o) {
      if (o->kind != ExtentKind::kChunk || o->chunk != e.chunk) continue;
      if (std::int64_t{o->chunk_offset} - o->offset != std::int64_t{e.chunk_offset} - e.offset)
        continue;
      total -= std::min(o->end(), e.end()) - std::max(o->offset, e.offset);
    }
  }
  return total;
}

std::int64_t saving(const ExtentList* before, const ExtentList& v, const ExtentList& after) {
  auto bytes = static_cast<std::int64_t>(difference(v, after));
  if (before != nullptr) {
    bytes += static_cast<std::int64_t>(difference(*before, v));
    bytes -= static_cast<std::int64_t>(difference(*before, after));
  }
  return bytes;
}

Result<std::vector<SegmentVersion>> versions_before(const Database& db, std::string_view key,
                                                    Epoch upto, std::size_t most) {
  std::vector<SegmentVersion> found;
  const auto it = db.scan(Family::kHistory);
  it->SeekForPrev(history_key(key, upto));
  for (; found.size() < most && at_version_of(*it, key); it->Prev()) {
    PROJFS_ASSIGN(auto version, version_at(*it));
    found.push_back(std::move(version));
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
  return found;
}

Result<std::vector<SegmentVersion>> versions_from(const Database& db, std::string_view key,
                                                  Epoch from, std::size_t most) {
  std::vector<SegmentVersion> found;
  const auto it = db.scan(Family::kHistory);
  it->Seek(history_key(key, from));
  for (; found.size() < most && at_version_of(*it, key); it->Next()) {
    PROJFS_ASSIGN(auto version, version_at(*it));
    found.push_back(std::move(version));
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
  return found;
}

Result<std::vector<Epoch>> snapshots_within(const Database& db, ProjectNo project, Epoch born,
                                            Epoch last) {
  PROJFS_ASSIGN(auto found, epochs_in(db, "snap/", project, born, last));
  PROJFS_ASSIGN(const auto dead, epochs_in(db, "snap.dead/", project, born, last));
  found.insert(found.end(), dead.begin(), dead.end());
  std::sort(found.begin(), found.end());
  found.resize(std::min<std::size_t>(found.size(), 2));
  return found;
}

Result<Epoch> born_without_dead(const Database& db, ProjectNo project, Epoch born, Epoch last) {
  PROJFS_ASSIGN(const auto present, epochs_in(db, "snap/", project, born, last));
  if (present.empty() || present[0] == born) return born;
  const auto begin = snapshot_dead_key(project, born);
  const auto it = db.scan(Family::kSystem);
  it->SeekForPrev(snapshot_dead_key(project, present[0]));
  PROJFS_TRY(from_rocksdb(it->status(), "reading the table of snapshots"));
  if (!it->Valid() || it->key().compare(begin) < 0) return born;
  const auto key = it->key().ToStringView();
  return Reader(key.substr(key.size() - 8)).be64() + 1;
}

void HistoryDelta::free_with(Epoch snapshot, std::int64_t bytes) {
  if (bytes != 0) freed.emplace_back(snapshot, bytes);
}

void HistoryDelta::put(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project) const {
  auto* counters = db.family(Family::kCounters);
  CounterVector values{};
  if (use != 0) {
    values[kHistoryBytes] = use;
    batch.Merge(counters, usage_key(project), encode_counters(values));
  }
  for (const auto& [epoch, bytes] : freed) {
    values = {};
    values[0] = bytes;
    batch.Merge(counters, freed_key(project, epoch), encode_counters(values));
  }
}

Status count_live_change(const Database& db, ProjectNo project, std::string_view key,
                         const ExtentList& before, Epoch born, const ExtentList& after,
                         std::optional<Epoch> kept_last, HistoryDelta& delta) {
  PROJFS_ASSIGN(const auto chain, versions_before(db, key, ~Epoch{0}, kept_last ? 1 : 2));
  Epoch first = born, last = kept_last.value_or(0);
  std::int64_t more = 0;
  if (kept_last) {
    const auto* previous = chain.empty() ? nullptr : &chain[0].list;
    delta.use += static_cast<std::int64_t>(difference(before, after));
    more = saving(previous, before, after);
  } else {
    if (chain.empty()) return {};
    const auto* previous = chain.size() < 2 ? nullptr : &chain[1].list;
    const auto& newest = chain[0].list;
    delta.use += static_cast<std::int64_t>(difference(newest, after)) -
                 static_cast<std::int64_t>(difference(newest, before));
    more = saving(previous, newest, after) - saving(previous, newest, before);
    first = chain[0].born;
    last = chain[0].last;
  }
  if (more == 0) return {};
  PROJFS_ASSIGN(const auto seen_by, snapshots_within(db, project, first, last));
  if (seen_by.size() == 1) delta.free_with(seen_by[0], more);
  return {};
}

}  // namespace projfs::meta
