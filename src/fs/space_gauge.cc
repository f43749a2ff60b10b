// SPDX-License-Identifier: MIT
#include "fs/space_gauge.h"

#include "projfs/log.h"

namespace projfs::fs {

void SpaceGauge::refresh() {
  const std::lock_guard lock(mutex_);
  const auto space = env_.space(path_);
  if (!space) {
    log::error("cannot ask for the free space of {}: {}", path_, space.error().describe());
    free_ = 0;
    return;
  }
  free_ = space->available_bytes;
  total_ = space->total_bytes;
  granted_ = 0;
}

bool SpaceGauge::has_room(std::uint64_t bytes) {
  const auto free = free_.load(std::memory_order_relaxed);
  const auto granted = granted_.load(std::memory_order_relaxed);
  // Staged data is written twice (stage, then pack) before the stage gives its part back.
  const bool plenty = granted < kGrant && free > reserve_ + 2 * (granted + bytes) + 4 * kGrant;
  if (!plenty) {
    refresh();
    if (free_.load() < reserve_ + 2 * bytes) return false;
  }
  granted_.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

}  // namespace projfs::fs
