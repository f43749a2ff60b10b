// SPDX-License-Identifier: MIT
//
// How long work looks to the person who waits: a bar on a terminal, plain lines elsewhere. Always
// on stderr, so that stdout holds nothing but the result.
#pragma once

#include <chrono>
#include <string>

namespace projfs {

class ProgressBar {
 public:
  ProgressBar();
  // Leaves the terminal's line clean.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(double share, const std::string& step);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] std::string remaining(double share) const;

  const bool terminal_;
  bool drawn_ = false;
  Clock::time_point started_, last_line_;
};

}  // namespace projfs
