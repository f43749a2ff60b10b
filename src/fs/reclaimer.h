// SPDX-License-Identifier: MIT
//
// Gives back the space of unlinked inodes a little later and many at a time: one batch of the index
// for hundreds of removed files costs a fraction of one each, and nobody waits for it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace projfs::fs {

class ProjectVolume;

class Reclaimer {
 public:
  Reclaimer();
  ~Reclaimer();  // stops; what was not reclaimed stays an orphan
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // The volume has inodes to reclaim (ProjectVolume::reclaim_pending).
  void note(std::weak_ptr<ProjectVolume> volume);
  // While this is held the reclaimer holds no volume, so that one without other users is expired.
  [[nodiscard]] std::unique_lock<std::mutex> pause() { return std::unique_lock(working_); }

 private:
  void run();

  std::mutex working_;  // before mutex_
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::weak_ptr<ProjectVolume>> noted_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace projfs::fs
