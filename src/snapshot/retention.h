// SPDX-License-Identifier: MIT
//
// Which automatic snapshots a policy keeps. Pure: no clock, no store.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/result.h"

namespace projfs::snapshot {

// How many to keep of each kind: the newest `last`, and of each of the newest so many hours, days,
// weeks (ISO) and months (UTC) that have any, the newest.
struct Retention {
  std::uint32_t last = 4;
  std::uint32_t hourly = 24;
  std::uint32_t daily = 7;
  std::uint32_t weekly = 8;
  std::uint32_t monthly = 6;
  friend bool operator==(const Retention&, const Retention&) = default;
};

// "hourly=24,daily=7,weekly=8,monthly=6,last=4": what is not named is 0. EINVAL with a sentence,
// also when nothing at all would be kept.
Result<Retention> parse_retention(std::string_view text);
// The way back; kinds of which none is kept are left out.
std::string format_retention(const Retention& keep);

struct Candidate {
  std::int64_t created_ns = 0;
  bool automatic = false;  // made by the policy, and never renamed
  bool held = false;
};

// The indices of those that the policy does not keep, oldest first. `snapshots` are in the order
// in which they were made, whatever their times say: a clock that jumped may have left times in any
// order, and a snapshot of "next year" must not push those of today out. Only automatic ones that
// are not held are ever among the pruned, and only automatic ones count towards what is kept.
std::vector<std::size_t> to_prune(std::span<const Candidate> snapshots, const Retention& keep);

// The name of an automatic snapshot: "2026-11-22T18-30-00Z". Names sort as their times do.
std::string automatic_name(std::int64_t created_ns);

}  // namespace projfs::snapshot
