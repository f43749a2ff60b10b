// SPDX-License-Identifier: MIT
#include "snapshot/retention.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

#include "host/text.h"

namespace projfs::snapshot {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kHour = 3600, kDay = 24 * kHour;
constexpr std::uint32_t kMost = 100'000;  // of each kind

std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

std::int64_t month_of(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return parts.tm_year * 12 + parts.tm_mon;
}

// A number that two times have in common exactly when they lie in the same period.
std::int64_t hour_of(std::int64_t seconds) { return floor_divide(seconds, kHour); }
std::int64_t day_of(std::int64_t seconds) { return floor_divide(seconds, kDay); }
// The epoch began on a Thursday: ISO weeks begin three days before it.
std::int64_t week_of(std::int64_t seconds) { return floor_divide(seconds + 3 * kDay, 7 * kDay); }

struct Kind {
  std::string_view name;
  std::uint32_t Retention::*count;
  std::int64_t (*period)(std::int64_t seconds);  // null: every snapshot is its own
};

constexpr std::array<Kind, 5> kKinds = {{
    {"last", &Retention::last, nullptr},
    {"hourly", &Retention::hourly, hour_of},
    {"daily", &Retention::daily, day_of},
    {"weekly", &Retention::weekly, week_of},
    {"monthly", &Retention::monthly, month_of},
}};

}  // namespace

Result<Retention> parse_retention(std::string_view text) {
  const auto wrong = [&](const std::string& what) {
    return fail(EINVAL, "'" + std::string(text) + "' is no retention: " + what +
                            "; write it like last=4,hourly=24,daily=7,weekly=8,monthly=6");
  };
  Retention keep{0, 0, 0, 0, 0};
  std::set<std::string_view> seen;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    const auto equals = item.find('=');
    const auto name = item.substr(0, equals);
    const auto kind =
        std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.name == name; });
    if (kind == kKinds.end()) return wrong("there is no kind '" + std::string(name) + "'");
    if (equals == std::string_view::npos)
      return wrong("'" + std::string(name) + "' wants a number");
    const auto count = parse_count(item.substr(equals + 1));
    if (!count || *count > kMost)
      return wrong("'" + std::string(name) + "' wants a number up to " + std::to_string(kMost));
    if (!seen.insert(kind->name).second)
      return wrong("'" + std::string(name) + "' stands there twice");
    keep.*kind->count = static_cast<std::uint32_t>(*count);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (keep == Retention{0, 0, 0, 0, 0})
    return wrong("it keeps nothing (turn the policy off instead)");
  return keep;
}

std::string format_retention(const Retention& keep) {
  std::string out;
  for (const auto& kind : kKinds) {
    if (keep.*kind.count == 0) continue;
    if (!out.empty()) out += ",";
    out += std::string(kind.name) + "=" + std::to_string(keep.*kind.count);
  }
  return out;
}

std::vector<std::size_t> to_prune(std::span<const Candidate> snapshots, const Retention& keep) {
  std::vector<bool> kept(snapshots.size(), false);
  for (const auto& kind : kKinds) {
    std::set<std::int64_t> periods;
    std::uint32_t left = keep.*kind.count;
    for (std::size_t i = snapshots.size(); i-- > 0 && left > 0;) {
      const auto& s = snapshots[i];
      if (!s.automatic) continue;
      const auto seconds = floor_divide(s.created_ns, kNsPerSecond);
      if (kind.period != nullptr && !periods.insert(kind.period(seconds)).second) continue;
      kept[i] = true;
      --left;
    }
  }
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    if (snapshots[i].automatic && !snapshots[i].held && !kept[i]) out.push_back(i);
  }
  return out;
}

std::string automatic_name(std::int64_t created_ns) {
  auto name = rfc3339(created_ns);
  std::replace(name.begin(), name.end(), ':', '-');  // a colon asks for quoting in shells and URLs
  return name;
}

}  // namespace projfs::snapshot
