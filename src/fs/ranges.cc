// SPDX-License-Identifier: MIT
//
// Operations on ranges of a file: fallocate, SEEK_DATA and SEEK_HOLE, copying by reference.
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>

#include "fs/frozen_state.h"
#include "fs/ingester.h"
#include "fs/locking.h"
#include "fs/project_volume.h"

namespace projfs::fs {
namespace {

// Data that is not in the index yet is copied as bytes, so much at a call; the caller asks again.
constexpr std::uint64_t kCopyBytes = 1 << 20;
// Extents copied by reference in one batch.
constexpr std::size_t kCopyExtents = 65536;

// What a piece of a file becomes at the same distance from `to` as it has from `begin`.
void add_copied(std::vector<NewExtent>& extents, const Piece& p, std::uint64_t begin,
                std::uint64_t to) {
  NewExtent e;
  e.begin = to + (p.begin - begin);
  e.end = to + (p.end - begin);
  e.kind = p.kind == PieceKind::kPrealloc ? PieceKind::kZero : p.kind;
  e.chunk = p.chunk;
  e.chunk_offset = p.offset;
  if (e.kind != PieceKind::kHole) return extents.push_back(e);
  // Only whole blocks can be holes; a part of a block beside data is zeros.
  const auto first = std::min(block_ceil(e.begin), e.end);
  const auto last = std::max(block_floor(e.end), first);
  if (e.begin < first) extents.push_back({e.begin, first, PieceKind::kZero, 0, 0});
  if (first < last) extents.push_back({first, last, PieceKind::kHole, 0, 0});
  if (last < e.end) extents.push_back({last, e.end, PieceKind::kZero, 0, 0});
}

}  // namespace

Status ProjectVolume::fallocate(Ino ino, int mode, std::uint64_t offset, std::uint64_t length) {
  StageRecord record;
  record.offset = offset;
  record.length = length;
  switch (mode & ~FALLOC_FL_UNSHARE_RANGE) {
    case 0:
      record.op = StageOp::kAllocate;
      break;
    case FALLOC_FL_KEEP_SIZE:
      record.op = StageOp::kAllocate;
      record.flags = kKeepSize;
      break;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      record.op = StageOp::kPunch;
      break;
    case FALLOC_FL_ZERO_RANGE:
      record.op = StageOp::kZero;
      break;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      record.op = StageOp::kZero;
      record.flags = kKeepSize;
      break;
    default:
      return fail(EOPNOTSUPP);
  }
  if (length == 0) return fail(EINVAL);
  if (offset > kMaxFileSize || length > kMaxFileSize - offset) {
    if (record.op != StageOp::kPunch) return fail(EFBIG);
    record.length = kMaxFileSize - std::min(offset, kMaxFileSize);
    if (record.length == 0) return {};
  }
  PROJFS_TRY(engine_.ingester->throttle(*project_));
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (S_ISDIR(found->record.mode)) return fail(EISDIR);
  if (!S_ISREG(found->record.mode)) return fail(ENODEV);
  auto status = with_quota([&]() -> Status {
    const std::shared_lock quiesce(project_->quiesce);
    const std::unique_lock lock(found->mutex);
    if (found->gone) return fail(ESTALE);
    return stage_change(*found, record, {});
  });
  if (status) engine_.ingester->enqueue(found);
  return status;
}

Result<std::uint64_t> ProjectVolume::seek(Ino ino, std::uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return fail(EINVAL);
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (!S_ISREG(found->record.mode)) return fail(EINVAL);
  const std::shared_lock lock(found->mutex);
  if (offset >= found->size) return fail(ENXIO);
  // A block that holds any data is data as a whole.
  const auto end = block_ceil(found->size);
  const auto begin = block_floor(offset);
  const auto is_data = [](PieceKind kind) {
    return kind != PieceKind::kHole && kind != PieceKind::kPrealloc;
  };
  std::optional<std::uint64_t> answer;
  std::uint64_t data_end = begin;  // blocks before this hold data
  PROJFS_TRY(for_each_piece(engine_, *found, begin, end, [&](const Piece& p) {
    if (is_data(p.kind)) {
      const auto from = block_floor(p.begin);
      if (whence == SEEK_DATA) {
        answer = std::max(from, offset);
        return false;
      }
      if (from > data_end) {
        answer = data_end;
        return false;
      }
      data_end = std::max(data_end, block_ceil(p.end));
    }
    return true;
  }));
  if (whence == SEEK_DATA) {
    if (!answer || *answer >= found->size) return fail(ENXIO);
    return *answer;
  }
  return std::min(std::max(answer.value_or(data_end), offset), found->size);
}

Result<std::uint64_t> ProjectVolume::copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                                std::uint64_t to_offset, std::uint64_t length) {
  PROJFS_TRY(engine_.ingester->throttle(*project_));
  PROJFS_ASSIGN(const auto source, inode(from));
  PROJFS_ASSIGN(const auto target, inode(to));
  for (const auto& i : {source, target}) {
    if (S_ISDIR(i->record.mode)) return fail(EISDIR);
    if (!S_ISREG(i->record.mode)) return fail(EINVAL);
  }
  if (to_offset >= kMaxFileSize) return fail(EFBIG);
  length = std::min(length, kMaxFileSize - to_offset);
  if (source == target && from_offset < to_offset + length && to_offset < from_offset + length)
    return fail(EINVAL);
  auto copied = with_quota([&]() -> Result<std::uint64_t> {
    const std::lock_guard extents_stay(target->ingest_mutex);
    const std::shared_lock quiesce(project_->quiesce);
    const std::shared_lock chains_stay(project_->history_gate);
    const InodeLocks locks({source, target});
    if (source->gone || target->gone) return fail(ESTALE);
    if (from_offset >= source->size) return 0;
    const auto end = std::min(from_offset + length, source->size);
    // What the target has staged is newer than its extents and would hide what we commit there.
    if (target->staged.empty() && target->frozen.empty()) {
      PROJFS_ASSIGN(const auto done,
                    copy_references(*source, from_offset, end, *target, to_offset));
      if (done != 0) return done;
    }
    const auto n = std::min(kCopyBytes, end - from_offset);
    std::vector<std::uint8_t> bytes(n);
    std::vector<Piece> pieces;
    PROJFS_TRY(for_each_piece(engine_, *source, from_offset, from_offset + n, [&](const Piece& p) {
      pieces.push_back(p);
      return true;
    }));
    PROJFS_TRY(read_pieces(engine_, pieces, from_offset, bytes));
    StageRecord record;
    record.op = StageOp::kWrite;
    record.offset = to_offset;
    record.length = n;
    record.flags = kDropSetId;
    PROJFS_TRY(stage_change(*target, record, bytes));
    return n;
  });
  if (copied && *copied != 0) engine_.ingester->enqueue(target);
  return copied;
}

// Copies extents up to the first staged piece of the source. 0: it begins with one.
// REQUIRES: both locked alone; the target has nothing staged and its ingest_mutex is held.
Result<std::uint64_t> ProjectVolume::copy_references(const Inode& source, std::uint64_t begin,
                                                     std::uint64_t end, Inode& target,
                                                     std::uint64_t to) {
  std::vector<NewExtent> extents;
  std::uint64_t stop = begin;
  PROJFS_TRY(for_each_piece(engine_, source, begin, end, [&](const Piece& p) {
    if (p.kind == PieceKind::kStaged || extents.size() >= kCopyExtents) return false;
    add_copied(extents, p, begin, to);
    stop = p.end;
    return true;
  }));
  const auto length = stop - begin;
  if (length == 0) return 0;
  return commit_copy(extents, length, target, to);
}

Result<std::uint64_t> ProjectVolume::copy_in(ExtentSource& source, Ino from,
                                             std::uint64_t from_offset, Ino to,
                                             std::uint64_t to_offset, std::uint64_t length) {
  PROJFS_TRY(engine_.ingester->throttle(*project_));
  PROJFS_ASSIGN(const auto target, inode(to));
  if (S_ISDIR(target->record.mode)) return fail(EISDIR);
  if (!S_ISREG(target->record.mode)) return fail(EINVAL);
  if (to_offset >= kMaxFileSize) return fail(EFBIG);
  if (from_offset >= kMaxFileSize) return 0;
  length = std::min({length, kMaxFileSize - to_offset, kMaxFileSize - from_offset});
  return with_quota([&]() -> Result<std::uint64_t> {
    std::vector<Piece> pieces;
    std::uint64_t stop = from_offset + length;
    bool as_bytes = false;
    std::uint64_t copied = 0;
    const auto collect = [&](const Piece& p) {
      if (pieces.size() >= kCopyExtents) {
        stop = p.begin;
        return false;
      }
      pieces.push_back(p);
      return true;
    };
    const auto commit = [&](std::uint64_t size) -> Status {
      const auto end = std::min(stop, size);
      if (from_offset >= end) return {};
      std::vector<NewExtent> extents;
      std::uint64_t at = from_offset;
      const auto gap_to = [&](std::uint64_t next) {
        if (at < next) add_copied(extents, {at, next, PieceKind::kHole}, from_offset, to_offset);
      };
      for (Piece p : pieces) {
        p.end = std::min(p.end, end);
        if (p.begin >= p.end) break;
        gap_to(p.begin);
        add_copied(extents, p, from_offset, to_offset);
        at = p.end;
      }
      gap_to(end);

      const std::lock_guard extents_stay(target->ingest_mutex);
      const std::shared_lock quiesce(project_->quiesce);
      const std::shared_lock chains_stay(project_->history_gate);
      const InodeLocks locks({target});
      if (target->gone) return fail(ESTALE);
      as_bytes = !target->staged.empty() || !target->frozen.empty();
      if (as_bytes) return {};
      PROJFS_ASSIGN(copied, commit_copy(extents, end - from_offset, *target, to_offset));
      return {};
    };
    PROJFS_ASSIGN(const bool shared, source.with_extents(from, from_offset, stop, collect, commit));
    if (!shared || as_bytes) return fail(EXDEV);
    return copied;
  });
}

// REQUIRES: the target locked alone, its ingest_mutex held, nothing of it staged; the chunks of
// `extents` stay referenced meanwhile.
Result<std::uint64_t> ProjectVolume::commit_copy(const std::vector<NewExtent>& extents,
                                                 std::uint64_t length, Inode& target,
                                                 std::uint64_t to) {
  PROJFS_TRY(drop_capability(target));

  const auto to_end = to + length;
  const auto first = block_floor(to);
  const auto last = block_ceil(to_end);
  std::uint64_t after = 0;
  {
    // Blocks of the range once the copy is in: those of the new extents, and the edges' old
    // content.
    std::uint64_t counted = first;
    const auto count = [&](std::uint64_t b, std::uint64_t e) {
      const auto x = std::max(counted, block_floor(b));
      const auto y = block_ceil(e);
      if (y > x) after += y - x;
      counted = std::max(counted, y);
    };
    if (first < to) {
      PROJFS_TRY(for_each_piece(engine_, target, first, to, [&](const Piece& p) {
        if (p.kind != PieceKind::kHole) count(p.begin, p.end);
        return true;
      }));
    }
    for (const auto& e : extents) {
      if (e.kind != PieceKind::kHole) count(e.begin, e.end);
    }
    if (to_end < last) {
      PROJFS_TRY(for_each_piece(engine_, target, to_end, last, [&](const Piece& p) {
        if (p.kind != PieceKind::kHole) count(p.begin, p.end);
        return true;
      }));
    }
  }
  PROJFS_ASSIGN(const auto before, allocated_in(engine_, target, first, last));
  const bool has_holes = std::any_of(extents.begin(), extents.end(),
                                     [](const NewExtent& e) { return e.kind == PieceKind::kHole; });
  CapturedState state;
  state.size = std::max(target.size, to_end);
  state.allocated = target.allocated + after - before;
  state.sparse = target.sparse || has_holes || first > block_ceil(target.size);
  state.seq = target.last_seq;
  state.epoch = project_->epochs().current;
  enter_epoch(target, state.epoch);
  PROJFS_ASSIGN(auto charged, charge(after > before ? after - before : 0, 0));

  const auto previous = target.record;
  target.record.mtime = target.record.ctime = now();
  target.record.mode = without_set_id(target.record.mode);
  if (auto status = commit_extents(engine_, target, state, extents, length); !status) {
    target.record = previous;
    return tl::unexpected<Error>(std::move(status).error());
  }
  charged.keep();
  if (before > after) project_->refund(before - after, 0);
  target.size = state.size;
  target.allocated = state.allocated;
  target.sparse = state.sparse;
  target.index_seq = engine_.index_sync.position();
  return length;
}

}  // namespace projfs::fs
