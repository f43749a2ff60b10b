// SPDX-License-Identifier: MIT
//
// Makes and deletes snapshots while others write and the daemon is killed. What was acknowledged
// is so afterwards; of the one call that got no answer, either.
#pragma once

#include <set>
#include <string>

#include "random.h"

namespace projfs::model {

class SnapshotNoise {
 public:
  SnapshotNoise(std::string tested, std::uint64_t seed)
      : all_(std::move(tested) + "/.snapshots"), random_(seed) {}

  static constexpr const char* kPrefix = "noise-";

  void work();           // until the daemon is gone, or something is wrong
  std::string verify();  // after it came back: an empty string, or what is wrong
  std::uint64_t made = 0, deleted = 0;

 private:
  const std::string all_;
  Random random_;
  std::set<std::string> there_;
  std::string unanswered_, problem_;
};

}  // namespace projfs::model
