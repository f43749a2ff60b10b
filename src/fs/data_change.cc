// SPDX-License-Identifier: MIT
#include "fs/data_change.h"

#include <sys/stat.h>
#include <algorithm>

#include "fs/file_map.h"
#include "fs/project.h"

namespace projfs::fs {
namespace {

// Every block below the end is allocated and none beyond: allocation follows from the size.
Result<DataEffect> grow(const Engine& engine, const Inode& inode, std::uint64_t begin,
                        std::uint64_t end, bool keep_size) {
  DataEffect e{inode.size, inode.allocated, inode.sparse};
  const auto first = block_floor(begin);
  const auto last = block_ceil(end);
  if (inode.sparse) {
    PROJFS_ASSIGN(const auto present, allocated_in(engine, inode, first, last));
    e.allocated += last - first - present;
  } else {
    const auto covered = block_ceil(inode.size);
    if (first > covered) e.sparse = true;  // leaves a hole behind it
    if (last > covered) e.allocated += last - std::max(first, covered);
    if (keep_size && last > covered) e.sparse = true;  // blocks beyond the end
  }
  if (!keep_size) e.size = std::max(inode.size, end);
  return e;
}

Result<DataEffect> cut(const Engine& engine, const Inode& inode, std::uint64_t size) {
  DataEffect e{size, inode.allocated, inode.sparse};
  if (size > inode.size) {
    if (block_ceil(size) > block_ceil(inode.size)) e.sparse = true;
    return e;
  }
  if (size == 0) return DataEffect{0, 0, false};
  if (inode.sparse) {
    PROJFS_ASSIGN(const auto freed, allocated_in(engine, inode, block_ceil(size), kEndOfRange));
    e.allocated -= freed;
  } else {
    e.allocated = block_ceil(size);
  }
  return e;
}

Result<DataEffect> punch(const Engine& engine, const Inode& inode, std::uint64_t begin,
                         std::uint64_t end) {
  DataEffect e{inode.size, inode.allocated, inode.sparse};
  const auto first = block_ceil(begin);
  const auto last = block_floor(end);
  if (first >= last) return e;
  PROJFS_ASSIGN(const auto freed, allocated_in(engine, inode, first, last));
  e.allocated -= freed;
  e.sparse = e.sparse || freed != 0;
  return e;
}

OverlayEntry plain(std::uint64_t begin, std::uint64_t end, PieceKind kind, StageSeq seq) {
  OverlayEntry e;
  e.begin = begin;
  e.end = end;
  e.kind = kind;
  e.seq = seq;
  return e;
}

// A hole is an entry only where the index has, or is about to have, extents under it.
void make_hole(Inode& inode, std::uint64_t begin, std::uint64_t end, StageSeq seq) {
  inode.overlay.erase(begin, end);
  if (inode.record.allocated != 0 || inode.ingesting || !inode.frozen.empty())
    inode.overlay.assign(plain(begin, end, PieceKind::kHole, seq));
}

// Gives `kind` to the pieces of [begin, end) that are holes, or to those that are not.
Status replace(const Engine& engine, Inode& inode, std::uint64_t begin, std::uint64_t end,
               bool holes, PieceKind kind, StageSeq seq) {
  std::vector<OverlayEntry> found;
  PROJFS_TRY(for_each_piece(engine, inode, begin, end, [&](const Piece& p) {
    if ((p.kind == PieceKind::kHole) == holes) found.push_back(plain(p.begin, p.end, kind, seq));
    return true;
  }));
  for (const auto& entry : found) inode.overlay.assign(entry);
  return {};
}

// Before a cut at `size`: the block it falls into stays allocated if it was, also when all its data
// is beyond the cut.
Status keep_block(const Engine& engine, Inode& inode, std::uint64_t size, StageSeq seq) {
  const auto first = block_floor(size);
  if (first == size) return {};
  bool before = false, after = false;
  PROJFS_TRY(for_each_piece(engine, inode, first, block_ceil(size), [&](const Piece& p) {
    if (p.kind != PieceKind::kHole) (p.begin < size ? before : after) = true;
    return true;
  }));
  if (after && !before) inode.overlay.assign(plain(first, size, PieceKind::kZero, seq));
  return {};
}

Status apply_content(const Engine& engine, Inode& inode, const StageRecord& r,
                     std::span<const StageRef> refs, StageSeq seq) {
  const auto end = r.offset + r.length;
  const auto inner_begin = std::min(block_ceil(r.offset), end);
  const auto inner_end = std::max(block_floor(end), inner_begin);
  switch (r.op) {
    case StageOp::kWrite: {
      auto at = r.offset;
      for (const auto& ref : refs) {
        auto entry = plain(at, at + ref.length, PieceKind::kStaged, ref.seq);
        entry.ref = ref;
        inode.overlay.assign(entry);
        at += ref.length;
      }
      return {};
    }
    case StageOp::kTruncate:
      if (r.length > inode.size) return {};
      PROJFS_TRY(keep_block(engine, inode, r.length, seq));
      make_hole(inode, r.length, kEndOfRange, seq);
      return {};
    case StageOp::kAllocate:
      return replace(engine, inode, block_floor(r.offset), block_ceil(end), true,
                     PieceKind::kPrealloc, seq);
    case StageOp::kPunch:
      PROJFS_TRY(replace(engine, inode, r.offset, inner_begin, false, PieceKind::kZero, seq));
      PROJFS_TRY(replace(engine, inode, inner_end, end, false, PieceKind::kZero, seq));
      if (inner_begin < inner_end) make_hole(inode, inner_begin, inner_end, seq);
      return {};
    case StageOp::kZero:
      inode.overlay.assign(plain(r.offset, inner_begin, PieceKind::kZero, seq));
      inode.overlay.assign(plain(inner_begin, inner_end, PieceKind::kPrealloc, seq));
      inode.overlay.assign(plain(inner_end, end, PieceKind::kZero, seq));
      return {};
  }
  return fail(EIO, "a staged record has an unknown operation");
}

}  // namespace

std::uint64_t release_staged(const Engine& engine, Inode& inode, StageSeq through) {
  std::uint64_t bytes = 0;
  auto done = inode.staged.begin();
  for (; done != inode.staged.end() && done->seq <= through; ++done) {
    bytes += done->length;
    engine.stage.release(*done);
  }
  engine.counters.staged_records -= static_cast<std::uint64_t>(done - inode.staged.begin());
  inode.staged.erase(inode.staged.begin(), done);
  inode.staged_bytes -= bytes;
  inode.project->staged_bytes -= bytes;
  return bytes;
}

std::uint32_t without_set_id(std::uint32_t mode) {
  mode &= ~static_cast<std::uint32_t>(S_ISUID);
  if ((mode & S_IXGRP) != 0) mode &= ~static_cast<std::uint32_t>(S_ISGID);
  return mode;
}

Result<DataEffect> effect_of(const Engine& engine, const Inode& inode, const StageRecord& r) {
  const bool keep_size = (r.flags & kKeepSize) != 0;
  switch (r.op) {
    case StageOp::kWrite:
      return grow(engine, inode, r.offset, r.offset + r.length, false);
    case StageOp::kTruncate:
      return cut(engine, inode, r.length);
    case StageOp::kAllocate:
    case StageOp::kZero:
      return grow(engine, inode, r.offset, r.offset + r.length, keep_size);
    case StageOp::kPunch:
      return punch(engine, inode, r.offset, r.offset + r.length);
  }
  return fail(EIO, "a staged record has an unknown operation");
}

Status apply(const Engine& engine, Inode& inode, const StageRecord& r, const DataEffect& effect,
             std::span<const StageRef> refs) {
  const StageSeq seq = refs.back().seq;
  PROJFS_TRY(apply_content(engine, inode, r, refs, seq));
  inode.size = effect.size;
  inode.allocated = effect.allocated;
  inode.sparse = effect.sparse;
  inode.staged.insert(inode.staged.end(), refs.begin(), refs.end());
  engine.counters.staged_records += refs.size();
  for (const auto& ref : refs) {
    inode.staged_bytes += ref.length;
    inode.project->staged_bytes += ref.length;
  }
  inode.last_seq = seq;
  inode.project->staged(seq);
  if (seq > inode.record.attr_floor) {
    inode.record.mtime.tv_sec = r.time_ns / 1000000000;
    inode.record.mtime.tv_nsec = r.time_ns % 1000000000;
    inode.record.ctime = inode.record.mtime;
    if ((r.flags & kDropSetId) != 0) inode.record.mode = without_set_id(inode.record.mode);
  }
  return {};
}

}  // namespace projfs::fs
