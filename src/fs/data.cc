// SPDX-License-Identifier: MIT
//
// Reading, writing, and making durable.
#include <sys/stat.h>
#include <algorithm>
#include <chrono>

#include "fs/file_map.h"
#include "fs/frozen_state.h"
#include "fs/ingester.h"
#include "fs/project_volume.h"

namespace projfs::fs {

Result<std::size_t> ProjectVolume::read(Ino ino, std::uint64_t offset, MutableBytes out) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (S_ISDIR(found->record.mode)) return fail(EISDIR);
  if (!S_ISREG(found->record.mode)) return fail(EINVAL);
  const std::shared_lock lock(found->mutex);
  if (found->gone) return fail(ESTALE);
  if (offset >= found->size || out.empty()) return 0;
  const auto length = std::min<std::uint64_t>(out.size(), found->size - offset);
  std::vector<Piece> pieces;
  PROJFS_TRY(for_each_piece(engine_, *found, offset, offset + length, [&](const Piece& p) {
    pieces.push_back(p);
    return true;
  }));
  PROJFS_TRY(read_pieces(engine_, pieces, offset, out.first(length)));
  return length;
}

Status ProjectVolume::write(Ino ino, std::uint64_t offset, Bytes data, bool drop_set_id) {
  if (data.empty()) return {};
  PROJFS_TRY(engine_.ingester->throttle(*project_));
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (S_ISDIR(found->record.mode)) return fail(EISDIR);
  if (!S_ISREG(found->record.mode)) return fail(EINVAL);
  if (offset >= kMaxFileSize || data.size() > kMaxFileSize - offset) return fail(EFBIG);
  StageRecord record;
  record.op = StageOp::kWrite;
  record.offset = offset;
  record.length = data.size();
  record.flags = drop_set_id ? kDropSetId : 0;
  auto status = with_quota([&]() -> Status {
    const std::shared_lock quiesce(project_->quiesce);
    const std::unique_lock lock(found->mutex);
    if (found->gone) return fail(ESTALE);
    return stage_change(*found, record, data);
  });
  if (status) engine_.ingester->enqueue(found);
  return status;
}

Status ProjectVolume::stage_change(Inode& inode, StageRecord record, Bytes data) {
  enter_epoch(inode, project_->epochs().current);
  PROJFS_TRY(drop_capability(inode));
  if ((record.flags & kDropSetId) != 0 && (inode.record.mode & (S_ISUID | S_ISGID)) == 0)
    record.flags &= static_cast<std::uint8_t>(~kDropSetId);
  const auto time = now();
  record.project = project_->number();
  record.inode = inode.ino;
  record.time_ns = time.tv_sec * 1000000000ll + time.tv_nsec;

  PROJFS_ASSIGN(const auto effect, effect_of(engine_, inode, record));
  const bool grows = effect.allocated > inode.allocated;
  const auto more = grows ? effect.allocated - inode.allocated : 0;
  if (more != 0 && !project_->charge(more, 0)) return fail(EDQUOT);
  Charge charged(*project_, more, 0);
  // Overwriting needs room in the stage too; only what frees space is let through always.
  if (!data.empty() || more != 0) {
    if (!engine_.space.has_room(std::max<std::uint64_t>(more, data.size()))) return out_of_space();
  }
  const auto before = inode.allocated;
  PROJFS_ASSIGN(const auto appended, engine_.stage.append(record, data));
  charged.keep();
  if (effect.allocated < before) project_->refund(before - effect.allocated, 0);
  inode.last_write_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  return apply(engine_, inode, record, effect, appended.refs);
}

Status ProjectVolume::fsync(Ino ino, bool /*data_only*/) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  // Data first: should the power fail between the two, the index must not say more than the stage
  // holds.
  PROJFS_TRY(engine_.stage.sync(project_->number(), ino));
  return engine_.index_sync.sync_to(found->index_seq);
}

Status ProjectVolume::syncfs() {
  PROJFS_TRY(engine_.stage.sync_all());
  return engine_.index_sync.sync();
}

}  // namespace projfs::fs
