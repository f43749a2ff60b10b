// SPDX-License-Identifier: MIT
//
// Which workers poll: handing the role over, and the pacer that notices when it must change hands.
#include <sys/timerfd.h>
#include <unistd.h>
#include <algorithm>

#include "fuse/workers.h"

namespace projfs::fuse {
namespace {

constexpr std::int64_t kTickNs = 1'000'000;

void set_timer(int timer, std::int64_t period_ns) {
  itimerspec spec{};
  spec.it_value.tv_nsec = spec.it_interval.tv_nsec = period_ns;
  ::timerfd_settime(timer, 0, &spec, nullptr);
}

}  // namespace

// A role may have been given up while nobody was idle, so that nobody could be asked to take it:
// whoever becomes idle looks whether anyone polls at all.
bool Workers::wait_for_role(Worker& me) {
  std::unique_lock lock(roles_);
  ++idle_;
  promoted_.wait(lock, [&] { return stopping_ || wanted_ > 0 || pollers_ == 0; });
  --idle_;
  if (stopping_) return false;
  if (wanted_ > 0) --wanted_;
  ++pollers_;
  me.polls = true;
  arm_pacer();
  return true;
}

void Workers::promote() {
  if (wanted_ >= idle_) return;
  ++wanted_;
  promoted_.notify_one();
}

void Workers::resign(Worker& me) {
  stop_spinning(me);
  const std::lock_guard lock(roles_);
  if (me.polls) --pollers_;
  me.polls = false;
}

void Workers::call_spinners() {
  const std::lock_guard lock(roles_);
  while (pollers_ + wanted_ < options_.spinners && wanted_ < idle_) promote();
}

void Workers::hand_over(Worker& me) {
  const std::lock_guard lock(roles_);
  if (!me.polls) return;
  me.polls = false;
  --pollers_;
  if (pollers_ + wanted_ == 0) promote();
}

// A thread that comes back from a long request polls again unless enough are awake: it is running,
// the one in epoll_wait is not, and the next request is likely to follow at once.
bool Workers::regain(Worker& me) {
  stop_spinning(me);
  const std::lock_guard lock(roles_);
  if (stopping_) return false;
  const unsigned awake = pollers_ - (asleep_ ? 1 : 0);
  if (awake >= std::max(1u, options_.spinners)) return false;
  if (wanted_ > 0) --wanted_;  // instead of the one that was asked to
  ++pollers_;
  me.polls = true;
  arm_pacer();
  return true;
}

unsigned Workers::pollers() const {
  const std::lock_guard lock(roles_);
  return pollers_;
}

Status Workers::open_pacer() {
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (timer_ < 0) return fail_errno("timerfd_create");
  return {};
}

void Workers::stop_pacer() {
  if (timer_ < 0) return;
  set_timer(timer_, kTickNs);
  if (pacer_.joinable()) pacer_.join();
  ::close(timer_);
}

void Workers::arm_pacer() {
  if (!paced_.load() && !paced_.exchange(true)) set_timer(timer_, kTickNs);
}

void Workers::pace() {
  for (;;) {
    std::uint64_t expirations = 0;
    [[maybe_unused]] const auto n = ::read(timer_, &expirations, sizeof expirations);
    if (stopping_) return;
    if (tick()) continue;
    // The order matters: whoever sees paced_ false after this starts the timer again.
    set_timer(timer_, 0);
    paced_ = false;
    bool awake = false;
    {
      const std::lock_guard lock(roles_);
      awake = pollers_ + wanted_ > (asleep_ ? 1u : 0u);
    }
    if (awake) arm_pacer();
    if (stopping_) return;
  }
}

// One look at all workers; false when nobody polls but the sleeper, and nobody needs to.
bool Workers::tick() {
  const std::lock_guard lock(roles_);
  bool all_busy = true;
  for (const auto& worker : workers_) {
    const auto begun = worker->begun.load(std::memory_order_relaxed);
    const auto done = worker->done.load(std::memory_order_relaxed);
    const auto pauses = worker->pauses.load(std::memory_order_relaxed);
    if (worker->polls) {
      const bool stuck = begun != done && begun == worker->seen_begun;
      const bool saturated = begun != worker->seen_begun && pauses == worker->seen_pauses;
      if (stuck) {
        worker->polls = false;
        --pollers_;
      } else if (!saturated) {
        all_busy = false;
      }
    }
    worker->seen_begun = begun;
    worker->seen_pauses = pauses;
  }
  if (all_busy && wanted_ == 0 && !asleep_) promote();
  return pollers_ + wanted_ > (asleep_ ? 1u : 0u);
}

}  // namespace projfs::fuse
