// SPDX-License-Identifier: MIT
//
// When the next automatic snapshot of each project is due. Holds only projects that changed since
// their newest snapshot, so an idle project costs nothing, and knows no clock: the caller says what
// time it is.
//
// Times are those of a clock that never jumps (CLOCK_BOOTTIME, in ms): setting the host's clock
// makes no snapshot late, early or double. Each project has its own place within the period, so
// that ten thousand projects that all changed, or a daemon that comes back after a day, make a
// steady trickle and no storm. A project that changed is due at its next place: within one period,
// and never twice in one.
//
// Thread safety: none; the caller has a lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace projfs::snapshot {

class Schedule {
 public:
  // `period_ms` > 0. A project that is queued already with that period stays where it is: a change
  // after the first costs nothing and delays nothing. With another period it is queued anew.
  void changed(std::string_view id, std::int64_t period_ms, std::int64_t now_ms);
  void remove(std::string_view id);

  // When the earliest is due; nothing queued: nothing.
  [[nodiscard]] std::optional<std::int64_t> next_due() const;
  // Takes the earliest project that is due by now out of the queue.
  std::optional<std::string> take(std::int64_t now_ms);

  [[nodiscard]] std::size_t size() const { return queued_.size(); }
  [[nodiscard]] std::optional<std::int64_t> due(std::string_view id) const;

  // The first place of the project strictly after `now_ms`.
  static std::int64_t next_place(std::string_view id, std::int64_t period_ms, std::int64_t now_ms);

 private:
  struct Queued {
    std::int64_t due_ms = 0, period_ms = 0;
  };
  std::map<std::string, Queued, std::less<>> queued_;
  std::set<std::pair<std::int64_t, std::string>> by_due_;
};

}  // namespace projfs::snapshot
