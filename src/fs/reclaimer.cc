// SPDX-License-Identifier: MIT
#include "fs/reclaimer.h"

#include <pthread.h>
#include <chrono>

#include "fs/project_volume.h"

namespace projfs::fs {
namespace {

// Long enough that a removed tree comes in large batches, too short for anybody to miss the space.
constexpr auto kGather = std::chrono::milliseconds(20);

}  // namespace

Reclaimer::Reclaimer() : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "reclaim");
}

Reclaimer::~Reclaimer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Reclaimer::note(std::weak_ptr<ProjectVolume> volume) {
  const std::lock_guard lock(mutex_);
  noted_.push_back(std::move(volume));
  if (noted_.size() == 1) wake_.notify_one();
}

void Reclaimer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !noted_.empty(); });
    if (stopping_) return;
    wake_.wait_for(lock, kGather, [this] { return stopping_; });
    const auto noted = std::move(noted_);
    noted_.clear();
    lock.unlock();
    for (const auto& one : noted) {
      const std::lock_guard working(working_);
      if (const auto volume = one.lock()) volume->reclaim_pending();
    }
    lock.lock();
  }
}

}  // namespace projfs::fs
