// SPDX-License-Identifier: MIT
#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>

#include "host/text.h"

namespace projfs {
namespace {

constexpr auto kLineEvery = std::chrono::seconds(2);
constexpr int kBar = 24;

int columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressBar::ProgressBar()
    : terminal_(::isatty(STDERR_FILENO) == 1), started_(Clock::now()), last_line_(started_) {}

ProgressBar::~ProgressBar() { clear(); }

std::string ProgressBar::remaining(double share) const {
  const auto elapsed = std::chrono::duration<double>(Clock::now() - started_).count();
  if (share < 0.01 || elapsed < 1) return {};
  return ", " + format_seconds(static_cast<std::uint64_t>(elapsed * (1 - share) / share)) + " left";
}

void ProgressBar::show(double share, const std::string& step) {
  share = std::clamp(share, 0.0, 1.0);
  const int percent = static_cast<int>(share * 100);
  if (!terminal_) {
    // Short work says nothing; long work says where it is now and then.
    if (Clock::now() - last_line_ < kLineEvery) return;
    last_line_ = Clock::now();
    std::fprintf(stderr, "%d%% %s%s\n", percent, step.c_str(), remaining(share).c_str());
    return;
  }
  const int full = static_cast<int>(share * kBar);
  std::string line = "[" + std::string(static_cast<std::size_t>(full), '#') +
                     std::string(static_cast<std::size_t>(kBar - full), ' ') + "] " +
                     std::to_string(percent) + "% " + step + remaining(share);
  line = line.substr(0, static_cast<std::size_t>(columns() - 1));
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace projfs
