// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include "fs/acl.h"
#include "fs/ingester.h"
#include "fs/project_volume.h"

namespace projfs::fs {

using meta::InodeRecord;

Result<Attr> ProjectVolume::getattr(Ino ino) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  const std::shared_lock lock(found->mutex);
  if (found->gone) return fail(ESTALE);
  return found->attr();
}

Result<Attr> ProjectVolume::setattr(Ino ino, const AttrChange& change, const Caller& /*caller*/) {
  if (change.size) PROJFS_TRY(engine_.ingester->throttle(*project_));
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (change.size) {
    if (S_ISDIR(found->record.mode)) return fail(EISDIR);
    if (!S_ISREG(found->record.mode)) return fail(EINVAL);
    if (*change.size > kMaxFileSize) return fail(EFBIG);
  }
  auto result = with_quota([&] { return change_attributes(found, change); });
  if (change.size && result) engine_.ingester->enqueue(found);
  return result;
}

Result<Attr> ProjectVolume::change_attributes(const InodePtr& found, const AttrChange& change) {
  Inode& inode = *found;
  const std::shared_lock quiesce(project_->quiesce);
  const std::unique_lock lock(inode.mutex);
  if (inode.gone) return fail(ESTALE);

  if (change.size) {
    StageRecord record;
    record.op = StageOp::kTruncate;
    record.length = *change.size;
    record.flags = change.drop_set_id ? kDropSetId : 0;
    PROJFS_TRY(stage_change(inode, record, {}));
    const bool only_size = !change.mode && !change.uid && !change.gid && !change.atime &&
                           !change.mtime && !change.ctime && !change.atime_now;
    if (only_size) return inode.attr();
  }

  auto batch = this->change();
  auto next = inode.record;
  std::uint64_t freed = 0;
  next.ctime = now();
  if (change.mode) {
    next.mode = (next.mode & S_IFMT) | (*change.mode & 07777);
    if ((next.flags & InodeRecord::kAccessAcl) != 0) {
      const auto key = meta::xattr_key(project_->number(), inode.ino, kAccessAclName);
      PROJFS_ASSIGN(const auto value, project_->head().find(key));
      auto acl = value ? Acl::parse(value->payload) : std::nullopt;
      if (!acl) return fail(EIO, "an ACL does not decode");
      acl->set_mode(next.mode);
      PROJFS_TRY(batch.put(key, acl->format(), value->born));
    }
  }
  // chown(2), also one that changes neither id: the new owner must not inherit the old one's
  // powers.
  const bool any_other = change.mode || change.size || change.atime || change.mtime ||
                         change.atime_now || change.mtime_now || change.ctime;
  const bool chown = change.uid || change.gid || !any_other;
  if (chown && !S_ISDIR(next.mode)) {
    if (!change.mode) next.mode = without_set_id(next.mode);
    if ((next.flags & InodeRecord::kCapability) != 0) {
      PROJFS_TRY(take_capability(batch, inode, next, freed));
    }
  }
  if (change.drop_set_id && !S_ISDIR(next.mode)) next.mode = without_set_id(next.mode);
  if (change.uid) next.uid = *change.uid;
  if (change.gid) next.gid = *change.gid;
  if (change.atime) next.atime = *change.atime;
  if (change.atime_now) next.atime = next.ctime;
  if (change.mtime) next.mtime = *change.mtime;
  if (change.mtime_now) next.mtime = next.ctime;
  if (change.ctime) next.ctime = *change.ctime;

  PROJFS_TRY(put_record(batch, inode, next));
  batch.count(-static_cast<std::int64_t>(freed), 0);
  PROJFS_TRY(batch.commit());
  project_->refund(freed, 0);
  committed(engine_, inode, std::move(next));
  return inode.attr();
}

Result<VolumeSpace> ProjectVolume::space() {
  const auto quota = project_->quota();
  const auto usage = project_->usage();
  engine_.space.refresh();
  const auto disk_free = engine_.space.free_bytes();
  const auto reserve = engine_.space.reserve_bytes();
  const auto store_free = disk_free > reserve ? disk_free - reserve : 0;
  VolumeSpace out;
  const auto left = quota.bytes > usage.bytes ? quota.bytes - usage.bytes : 0;
  out.free_bytes = std::min(left, store_free);
  out.total_bytes = quota.bytes == kUnlimited ? usage.bytes + store_free : quota.bytes;
  // Without a quota there is no number of inodes to run out of; df wants one all the same.
  constexpr std::uint64_t kMany = 1ull << 32;
  out.total_inodes = quota.inodes == kUnlimited ? usage.inodes + kMany : quota.inodes;
  out.free_inodes = out.total_inodes > usage.inodes ? out.total_inodes - usage.inodes : 0;
  return out;
}

tl::unexpected<Error> ProjectVolume::out_of_space() const {
  ++engine_.counters.refused_space;
  return fail(ENOSPC, "the store's disk is full down to the reserve");
}

Result<ProjectVolume::Charge> ProjectVolume::charge(std::uint64_t bytes, std::uint64_t inodes) {
  if (bytes == 0 && inodes == 0) return Charge(*project_, 0, 0);
  if (!project_->charge(bytes, inodes)) return fail(EDQUOT);
  Charge charged(*project_, bytes, inodes);
  if (!engine_.space.has_room(bytes + inodes * kBlock)) return out_of_space();
  return charged;
}

}  // namespace projfs::fs
