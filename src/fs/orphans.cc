// SPDX-License-Identifier: MIT
//
// Inodes without a name live until no kernel knows them. Which ones there are is in the index
// (orphan records); whether the kernel still knows one is asked of the kernel itself when it lets
// go of an inode, so no count of look-ups has to be kept, or to survive a restart.
#include <mutex>

#include "fs/project_volume.h"
#include "projfs/log.h"

namespace projfs::fs {
namespace {

// Segments removed in one batch: bounds the batch for a huge file.
constexpr std::size_t kReclaimSegments = 256;

}  // namespace

void ProjectVolume::forget(Ino ino) {
  if (!project_->is_orphan(ino)) return;
  auto* kernel = kernel_.load();
  if (kernel != nullptr && kernel->knows(ino)) return;  // another FORGET will come
  if (const auto s = reclaim(ino); !s) {
    log::error("project {}: the space of unlinked inode {} cannot be given back yet: {}",
               project_->id(), ino, s.error().describe());
  }
}

void ProjectVolume::reclaim_orphans() {
  for (const Ino ino : project_->orphans()) forget(ino);
}

Status ProjectVolume::reclaim(Ino ino) {
  auto found = inode(ino);
  if (!found) {
    if (found.error().code != ESTALE) return tl::unexpected<Error>(std::move(found).error());
    project_->remove_orphan(ino);
    return {};
  }
  Inode& inode = **found;
  // An ingestion under way may be reading the extents; one of a file that has none yet need not be
  // waited for: it finds the inode gone when it wants to commit.
  std::unique_lock extents_stay(inode.ingest_mutex, std::try_to_lock);
  if (!extents_stay) {
    const std::shared_lock lock(inode.mutex);
    if (inode.record.allocated == 0) extents_stay.release();
  }
  if (!extents_stay && extents_stay.mutex() != nullptr) extents_stay.lock();
  const auto number = project_->number();
  while (true) {
    const std::shared_lock quiesce(project_->quiesce);
    const std::unique_lock lock(inode.mutex);
    if (inode.gone || inode.record.nlink != 0) return {};
    auto change = this->change();
    std::size_t removed = 0;
    bool more = false;
    {
      const auto end = meta::end_key(number, ino, meta::Kind::kMap);
      const rocksdb::Slice upper(end);
      const auto it = engine_.db.scan(Family::kLive, &upper);
      if (inode.record.allocated != 0) it->Seek(meta::key_of(number, ino, meta::Kind::kMap));
      for (; inode.record.allocated != 0 && it->Valid(); it->Next()) {
        if (removed == kReclaimSegments) {
          more = true;
          break;
        }
        const auto live = meta::decode_live(it->value().ToStringView());
        auto list = live ? meta::ExtentList::decode(live->payload) : std::nullopt;
        if (!list) return fail(EIO, "a file map segment does not decode");
        PROJFS_ASSIGN(const auto old, change.remove(it->key().ToStringView(), live->born));
        count_references(engine_, change, *list, {}, old == meta::Change::Old::kKept);
        ++removed;
      }
      PROJFS_TRY(from_rocksdb(it->status(), "reading a file map"));
    }
    if (more) {
      // The extents go a batch at a time; until the last one the record stays, so a crash resumes
      // here.
      PROJFS_TRY(change.commit());
      continue;
    }
    std::uint64_t xattr_bytes = 0;
    PROJFS_ASSIGN(const auto names, list_names(inode));
    auto scratch = inode.record;
    for (const auto& name : names) {
      PROJFS_ASSIGN(const auto bytes, take_xattr(change, inode, scratch, name));
      xattr_bytes += bytes.value_or(0);
    }
    PROJFS_TRY(change.remove(meta::inode_key(number, ino), inode.born));
    PROJFS_TRY(change.remove(meta::orphan_key(number, ino)));
    change.count(-static_cast<std::int64_t>(inode.record.allocated + xattr_bytes), -1);
    PROJFS_TRY(change.commit());

    inode.gone = true;
    project_->refund(inode.allocated + xattr_bytes, 1);
    project_->remove_orphan(ino);
    release_staged(engine_, inode, inode.last_seq);
    inode.overlay = {};
    inode.size = inode.allocated = 0;
    break;
  }
  engine_.inodes.forget(*found);
  return {};
}

}  // namespace projfs::fs
