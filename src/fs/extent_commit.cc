// SPDX-License-Identifier: MIT
#include "fs/extent_commit.h"

#include <algorithm>
#include <map>

#include "fs/frozen_state.h"
#include "fs/project.h"
#include "meta/cursor.h"

namespace projfs::fs {
namespace {

using meta::kSegmentBytes;

// The segments of the inode that exist in [first, last].
Result<std::vector<std::uint64_t>> existing_segments(const Inode& inode, std::uint64_t first,
                                                     std::uint64_t last) {
  std::vector<std::uint64_t> found;
  const auto project = inode.project->number();
  meta::Cursor at(inode.project->head(),
                  meta::seek_key(project, inode.ino, meta::Kind::kMap, first),
                  meta::seek_key(project, inode.ino, meta::Kind::kMap, last + 1));
  for (; at.valid(); at.next()) {
    meta::ParsedKey key;
    if (meta::parse_key(at.key(), key)) found.push_back(key.number());
  }
  PROJFS_TRY(at.status());
  return found;
}

void apply_to(meta::ExtentList& list, std::uint64_t segment, const NewExtent& e) {
  const auto base = segment * kSegmentBytes;
  const auto begin = std::max(e.begin, base);
  const auto end = std::min(e.end, base + kSegmentBytes);
  const auto from = static_cast<std::uint32_t>(begin - base);
  const auto to = static_cast<std::uint32_t>(end - base);
  meta::Extent x{from, to - from, meta::ExtentKind::kChunk, 0, 0};
  switch (e.kind) {
    case PieceKind::kHole:
      list.erase(from, to);
      return;
    case PieceKind::kZero:
      x.kind = meta::ExtentKind::kZero;
      break;
    case PieceKind::kPrealloc:
      x.kind = meta::ExtentKind::kPrealloc;
      break;
    default:
      x.chunk = e.chunk;
      x.chunk_offset = e.chunk_offset + static_cast<std::uint32_t>(begin - e.begin);
  }
  list.assign(x);
}

}  // namespace

void count_references(const Engine& engine, meta::Change& change, const meta::ExtentList& before,
                      const meta::ExtentList& after, bool kept) {
  std::map<ChunkNo, std::int64_t> delta;
  for (const auto& e : after.extents()) {
    if (e.kind == meta::ExtentKind::kChunk) ++delta[e.chunk];
  }
  if (!kept) {
    for (const auto& e : before.extents()) {
      if (e.kind == meta::ExtentKind::kChunk) --delta[e.chunk];
    }
  }
  for (const auto& [chunk, d] : delta) {
    if (d != 0) engine.chunks.add_reference(change.batch(), chunk, d);
  }
}

Status change_segment(const Engine& engine, const Project& project, meta::Change& change,
                      std::string_view key, const meta::ExtentList& before, meta::Epoch born,
                      const meta::ExtentList& after) {
  if (born != 0) {
    // What the project inherits holds no references of its own. From here on it does, whether the
    // version stays in history or is replaced.
    PROJFS_ASSIGN(const bool inherited, change.inherits(key));
    if (inherited) count_references(engine, change, {}, before, false);
  }
  Result<meta::Change::Old> old = meta::Change::Old::kNone;
  if (after.empty()) {
    old = change.remove(key, born);
  } else {
    old = change.put(key, after.encode(), born);
  }
  PROJFS_TRY(old);
  const bool kept = *old == meta::Change::Old::kKept;
  count_references(engine, change, before, after, kept);
  if (!project.keeps_history()) return {};
  if (kept) {
    PROJFS_ASSIGN(born, change.born_in_history(born, change.epochs().last_snapshot));
  }
  return meta::count_live_change(engine.db, project.number(), key, before, born, after,
                                 kept ? std::optional(change.epochs().last_snapshot) : std::nullopt,
                                 change.history());
}

void settle_history(Project& project, meta::Change& change) {
  if (change.history().use != 0) project.add_history(change.history().use);
}

Status put_record(meta::Change& change, Inode& inode, meta::InodeRecord& next) {
  enter_epoch(inode, change.epochs().current);
  next.attr_floor = std::max(next.attr_floor, inode.last_seq);
  const auto key = meta::inode_key(inode.project->number(), inode.ino);
  if (!inode.frozen.empty()) [[unlikely]] {
    const auto past = past_records(inode);
    if (!past.empty()) return change.put_over(key, next.encode(), inode.born, past);
  }
  PROJFS_TRY(change.put(key, next.encode(), inode.born));
  return {};
}

void committed(const Engine& engine, Inode& inode, meta::InodeRecord next) {
  inode.record = std::move(next);
  inode.born = inode.project->epochs().current;
  inode.index_seq = engine.index_sync.position();
}

Status commit_extents(const Engine& engine, Inode& inode, const CapturedState& state,
                      std::span<const NewExtent> extents, std::optional<std::uint64_t> copied) {
  const auto project = inode.project->number();
  PROJFS_ASSIGN(const auto epochs, inode.project->epochs_at(engine.db, state.epoch));
  meta::Change change(engine.db, project, epochs, &inode.project->head());

  // Which extents touch which segment. Holes reach only segments that exist.
  std::map<std::uint64_t, std::vector<const NewExtent*>> by_segment;
  for (const auto& e : extents) {
    const auto first = e.begin / kSegmentBytes;
    const auto last = (e.end - 1) / kSegmentBytes;
    if (e.kind == PieceKind::kHole) {
      if (inode.record.allocated == 0) continue;
      PROJFS_ASSIGN(const auto present, existing_segments(inode, first, last));
      for (const auto s : present) by_segment[s].push_back(&e);
    } else {
      for (auto s = first; s <= last; ++s) by_segment[s].push_back(&e);
    }
  }
  for (const auto& [segment, parts] : by_segment) {
    meta::ExtentList before;
    meta::Epoch born = 0;
    const auto key = meta::map_key(project, inode.ino, segment);
    if (inode.record.allocated != 0) {
      PROJFS_ASSIGN(const auto live, inode.project->head().find(key));
      if (live) {
        auto list = meta::ExtentList::decode(live->payload);
        if (!list) return fail(EIO, "a file map segment does not decode");
        before = std::move(*list);
        born = live->born;
      }
    }
    auto after = before;
    for (const auto* e : parts) apply_to(after, segment, *e);
    if (after == before) continue;
    PROJFS_TRY(change_segment(engine, *inode.project, change, key, before, born, after));
  }

  // A record that is younger than this epoch learns only where the data is; one that is not shows
  // the inode as it was at the end of the epoch.
  const bool past = !inode.frozen.empty() && inode.born <= state.epoch;
  const auto put_data = [&state](meta::InodeRecord& r) {
    r.size = state.size;
    r.allocated = state.allocated;
    r.data_floor = state.seq;
    r.flags &= ~static_cast<std::uint32_t>(meta::InodeRecord::kSparse);
    if (state.sparse) r.flags |= meta::InodeRecord::kSparse;
  };
  auto next = past ? inode.frozen.front().record : inode.record;
  put_data(next);
  next.attr_floor = std::max(next.attr_floor, past ? inode.frozen.front().seq : inode.last_seq);
  PROJFS_TRY(change.put(meta::inode_key(project, inode.ino), next.encode(), inode.born));
  change.count(static_cast<std::int64_t>(state.allocated) -
                   static_cast<std::int64_t>(inode.record.allocated),
               0);
  if (copied) engine.answers.note(change.batch(), *copied);
  PROJFS_TRY(change.commit());
  settle_history(*inode.project, change);
  put_data(inode.record);
  inode.record.attr_floor = std::max(inode.record.attr_floor, next.attr_floor);
  inode.born = std::max(inode.born, state.epoch);
  return {};
}

}  // namespace projfs::fs
