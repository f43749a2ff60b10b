// SPDX-License-Identifier: MIT
//
// Inodes without a name live until no kernel knows them. Which ones there are is in the index
// (orphan records); whether the kernel still knows one is asked of the kernel itself when it lets
// go of an inode, so no count of look-ups has to be kept, or to survive a restart.
#include <algorithm>
#include <mutex>

#include "fs/ingester.h"
#include "fs/project_volume.h"
#include "fs/reclaimer.h"
#include "meta/cursor.h"
#include "meta/extent_list.h"
#include "projfs/log.h"
#include "projfs/out_of_reach.h"

namespace projfs::fs {
namespace {

// Segments removed in one batch: bounds the batch for a huge file.
constexpr std::size_t kReclaimSegments = 256;
// Inodes removed in one batch, and the largest that share one.
constexpr std::size_t kReclaimInodes = 128;
constexpr std::uint64_t kReclaimSmall = 8 * meta::kSegmentBytes;
// With so many waiting, whoever brings more does the work.
constexpr std::size_t kMostPending = 4096;

// Data of a closed epoch is still staged. Also of an inode that had no name by then: the snapshot
// counts it, and a clone of it gets it. REQUIRES: the inode's mutex.
bool is_in_snapshot(const Inode& inode) {
  return !inode.frozen.empty() ||
         (!inode.staged.empty() && inode.state_epoch < inode.project->epochs().current);
}

}  // namespace

ProjectVolume::~ProjectVolume() { reclaim_pending(); }

bool ProjectVolume::is_lost(Ino ino) const {
  if (!project_->is_orphan(ino)) return false;
  const std::lock_guard lock(kernel_mutex_);
  auto* kernel = kernel_.load();
  return kernel == nullptr || !kernel->knows(ino);  // if it does another FORGET will come
}

void ProjectVolume::set_kernel_view(KernelView* view) {
  bool in_reach_again = false;
  {
    const std::lock_guard nobody_asks(kernel_mutex_);
    in_reach_again = kernel_ == out_of_reach() && view != out_of_reach();
    kernel_ = view;
  }
  // FORGETs that an earlier process took along with it.
  if (in_reach_again)
    for (const Ino ino : project_->orphans()) forget(ino);
}

void ProjectVolume::forget(Ino ino) {
  if (!project_->is_orphan(ino)) return;
  if (engine_.reclaimer == nullptr) return reclaim_lost({ino});
  std::size_t waiting = 0;
  {
    const std::lock_guard lock(pending_mutex_);
    pending_.push_back(ino);
    waiting = pending_.size();
  }
  if (waiting == 1) engine_.reclaimer->note(weak_from_this());
  if (waiting >= kMostPending) reclaim_pending();
}

void ProjectVolume::reclaim_pending() {
  std::vector<Ino> pending;
  {
    const std::lock_guard lock(pending_mutex_);
    pending.swap(pending_);
  }
  reclaim_lost(std::move(pending));
}

void ProjectVolume::reclaim_orphans() { reclaim_lost(project_->orphans()); }

void ProjectVolume::reclaim_lost(std::vector<Ino> inos) {
  std::erase_if(inos, [this](Ino ino) { return !is_lost(ino); });
  std::sort(inos.begin(), inos.end());
  inos.erase(std::unique(inos.begin(), inos.end()), inos.end());
  const auto report = [&](Ino ino, const Error& why) {
    log::error("project {}: the space of unlinked inode {} cannot be given back yet: {}",
               project_->id(), ino, why.describe());
  };
  std::span<const Ino> left(inos);
  while (!left.empty()) {
    const auto some = left.first(std::min(left.size(), kReclaimInodes));
    left = left.subspan(some.size());
    std::vector<Ino> others;
    if (some.size() == 1) {
      others.assign(some.begin(), some.end());
    } else if (const auto s = reclaim_small(some, others); !s) {
      others.assign(some.begin(), some.end());
    }
    for (const Ino ino : others) {
      if (const auto s = reclaim(ino); !s) report(ino, s.error());
    }
  }
}

// Removes many inodes in one batch. Left to `others`: those that are large, or being ingested.
// REQUIRES: ascending numbers.
Status ProjectVolume::reclaim_small(std::span<const Ino> inos, std::vector<Ino>& others) {
  struct Work {
    InodePtr inode;
    std::unique_lock<std::mutex> extents_stay;
    std::unique_lock<std::shared_mutex> lock;
    std::uint64_t xattr_bytes = 0;
  };
  std::vector<Work> works;
  works.reserve(inos.size());
  for (const Ino ino : inos) {
    auto found = inode(ino);
    if (!found) {
      others.push_back(ino);
      continue;
    }
    std::unique_lock extents_stay((*found)->ingest_mutex, std::try_to_lock);
    if (!extents_stay) {
      others.push_back(ino);
      continue;
    }
    works.push_back({std::move(*found), std::move(extents_stay), {}, 0});
  }
  const std::shared_lock quiesce(project_->quiesce);
  const std::shared_lock chains_stay(project_->history_gate);
  auto change = this->change();
  std::int64_t bytes = 0, count = 0;
  for (auto& work : works) {
    Inode& inode = *work.inode;
    std::unique_lock lock(inode.mutex);
    if (inode.gone || inode.record.nlink != 0) continue;
    if (inode.record.allocated > kReclaimSmall || is_in_snapshot(inode)) {
      others.push_back(inode.ino);
      continue;
    }
    PROJFS_TRY(remove_segments(change, inode, SIZE_MAX));
    PROJFS_ASSIGN(work.xattr_bytes, remove_records(change, inode));
    bytes -= static_cast<std::int64_t>(inode.record.allocated + work.xattr_bytes);
    --count;
    work.lock = std::move(lock);
  }
  change.count(bytes, count);
  PROJFS_TRY(change.commit());
  settle_history(*project_, change);
  for (auto& work : works) {
    if (!work.lock) continue;
    let_go(*work.inode, work.xattr_bytes);
    work.lock.unlock();
    work.extents_stay.unlock();
    engine_.inodes.forget(work.inode);
  }
  return {};
}

// True: there are more than `most`.
Result<bool> ProjectVolume::remove_segments(meta::Change& change, const Inode& inode,
                                            std::size_t most) const {
  if (inode.record.allocated == 0) return false;
  const auto number = project_->number();
  const auto remove = [&](std::string_view key, const meta::LiveValue& live) -> Status {
    const auto list = meta::ExtentList::decode(live.payload);
    if (!list) return fail(EIO, "a file map segment does not decode");
    return change_segment(engine_, *project_, change, key, *list, live.born, {});
  };
  const bool sparse = (inode.record.flags & meta::InodeRecord::kSparse) != 0;
  if (!sparse && inode.record.size <= meta::kSegmentBytes) {  // a look-up is cheaper than a scan
    const auto key = meta::map_key(number, inode.ino, 0);
    PROJFS_ASSIGN(const auto live, project_->head().find(key));
    if (live) PROJFS_TRY(remove(key, *live));
    return false;
  }
  meta::Cursor at(project_->head(), meta::key_of(number, inode.ino, meta::Kind::kMap),
                  meta::end_key(number, inode.ino, meta::Kind::kMap));
  std::size_t removed = 0;
  for (; at.valid(); at.next()) {
    if (removed == most) return true;
    PROJFS_TRY(remove(at.key(), at.value()));
    ++removed;
  }
  PROJFS_TRY(at.status());
  return false;
}

// All records of the inode but its file map. Returns the bytes of its extended attributes.
Result<std::uint64_t> ProjectVolume::remove_records(meta::Change& change,
                                                    const Inode& inode) const {
  std::uint64_t xattr_bytes = 0;
  PROJFS_ASSIGN(const auto names, list_names(inode));
  auto scratch = inode.record;
  for (const auto& name : names) {
    PROJFS_ASSIGN(const auto bytes, take_xattr(change, inode, scratch, name));
    xattr_bytes += bytes.value_or(0);
  }
  PROJFS_TRY(change.remove(meta::inode_key(project_->number(), inode.ino), inode.born));
  PROJFS_TRY(change.remove(meta::orphan_key(project_->number(), inode.ino)));
  return xattr_bytes;
}

// After its records are removed. REQUIRES: the inode's mutex.
void ProjectVolume::let_go(Inode& inode, std::uint64_t xattr_bytes) {
  inode.gone = true;
  project_->refund(inode.allocated + xattr_bytes, 1);
  project_->remove_orphan(inode.ino);
  release_staged(engine_, inode, inode.last_seq);
  inode.overlay = {};
  inode.frozen.clear();
  inode.size = inode.allocated = 0;
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
  bool held_by_snapshot = false;
  while (true) {
    const std::shared_lock quiesce(project_->quiesce);
    const std::shared_lock chains_stay(project_->history_gate);
    const std::unique_lock lock(inode.mutex);
    if (inode.gone || inode.record.nlink != 0) return {};
    // What snapshots hold of it comes into the index first.
    held_by_snapshot = is_in_snapshot(inode);
    if (held_by_snapshot) break;
    auto change = this->change();
    PROJFS_ASSIGN(const bool more, remove_segments(change, inode, kReclaimSegments));
    if (more) {
      // The extents go a batch at a time; until the last one the record stays, so a crash resumes
      // here.
      PROJFS_TRY(change.commit());
      settle_history(*project_, change);
      continue;
    }
    PROJFS_ASSIGN(const auto xattr_bytes, remove_records(change, inode));
    change.count(-static_cast<std::int64_t>(inode.record.allocated + xattr_bytes), -1);
    PROJFS_TRY(change.commit());
    settle_history(*project_, change);
    let_go(inode, xattr_bytes);
    break;
  }
  if (held_by_snapshot) {
    if (extents_stay.owns_lock()) extents_stay.unlock();
    PROJFS_TRY(engine_.ingester->ingest(*found));
    return reclaim(ino);
  }
  engine_.inodes.forget(*found);
  return {};
}

}  // namespace projfs::fs
