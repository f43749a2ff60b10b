// SPDX-License-Identifier: MIT
//
// How a project says that it is no longer as its newest snapshot has it.
//
// Thread safety: all of it.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

namespace projfs::snapshot {

// Raised by the first change of a project, lowered before its snapshot is made. Raising one that is
// raised costs a load.
class ChangeSignal {
 public:
  explicit ChangeSignal(std::function<void()> first) : first_(std::move(first)) {}
  void raise() {
    if (raised_.load(std::memory_order_relaxed)) [[likely]]
      return;
    if (!raised_.exchange(true)) first_();
  }
  void lower() { raised_ = false; }

 private:
  std::atomic<bool> raised_{false};
  const std::function<void()> first_;
};

}  // namespace projfs::snapshot
