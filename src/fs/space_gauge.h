// SPDX-License-Identifier: MIT
//
// Tells whether the store's disk has room for more data. What is left below the reserve belongs to
// deletion, the index and shutdown, so growth is refused well before the disk is full.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "projfs/env.h"

namespace projfs::fs {

class SpaceGauge {
 public:
  SpaceGauge(Env& env, std::string path, std::uint64_t reserve_bytes)
      : env_(env), path_(std::move(path)), reserve_(reserve_bytes) {}

  // May `bytes` more be written? Looks at the disk again whenever what was granted since the last
  // look could matter, so the answer is never further off than kGrant.
  [[nodiscard]] bool has_room(std::uint64_t bytes);
  // Looks at the disk now. Called now and then, so that space freed by others is noticed.
  void refresh();

  [[nodiscard]] std::uint64_t reserve_bytes() const { return reserve_; }
  [[nodiscard]] std::uint64_t free_bytes() const { return free_.load(); }
  [[nodiscard]] std::uint64_t total_bytes() const { return total_.load(); }

 private:
  static constexpr std::uint64_t kGrant = 16 << 20;

  Env& env_;
  const std::string path_;
  const std::uint64_t reserve_;
  std::mutex mutex_;
  std::atomic<std::uint64_t> free_{0}, total_{0};
  std::atomic<std::uint64_t> granted_{~0ull};  // since the last look; starts with "look first"
};

}  // namespace projfs::fs
