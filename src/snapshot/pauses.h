// SPDX-License-Identifier: MIT
//
// How long writers were held up by snapshots being made: the last kKept times.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

#include "projfs/snapshots.h"

namespace projfs::snapshot {

class Pauses {
 public:
  static constexpr std::size_t kKept = 1024;

  void add(std::uint64_t ns) {
    const std::lock_guard lock(mutex_);
    last_[count_++ % kKept] = ns;
  }
  [[nodiscard]] SnapshotPauses summary() const {
    std::vector<std::uint64_t> sorted;
    SnapshotPauses out;
    {
      const std::lock_guard lock(mutex_);
      out.count = count_;
      sorted.assign(last_.begin(), last_.begin() + std::min<std::size_t>(count_, kKept));
    }
    if (sorted.empty()) return out;
    std::sort(sorted.begin(), sorted.end());
    out.p50_ns = sorted[sorted.size() / 2];
    out.p99_ns = sorted[sorted.size() * 99 / 100];
    out.max_ns = sorted.back();
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::array<std::uint64_t, kKept> last_{};
};

}  // namespace projfs::snapshot
