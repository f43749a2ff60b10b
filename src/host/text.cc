// SPDX-License-Identifier: MIT
#include "host/text.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "projfs/store.h"

namespace projfs {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

// The leading digits of `text`, which are removed from it.
Result<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return fail(ERANGE);
  if (error != std::errc()) return fail(EINVAL);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

Error not_a_size(std::string_view text) {
  return {EINVAL, quoted(text) + " is not a size (like 4096, 500M, 10G or 10GiB)"};
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view rest = text;
  const auto number = take_number(rest);
  if (!number && number.error().code == ERANGE)
    return fail(ERANGE, quoted(text) + " is too large a size");
  if (!number) return tl::unexpected(not_a_size(text));

  std::string unit;
  for (const char c : rest) unit.push_back(static_cast<char>(std::tolower(c)));
  unsigned shift = 0;
  if (!unit.empty() && unit != "b") {
    const auto at = std::string_view("kmgtpe").find(unit.front());
    if (at == std::string_view::npos) return tl::unexpected(not_a_size(text));
    shift = 10 * (static_cast<unsigned>(at) + 1);
    const auto tail = std::string_view(unit).substr(1);
    if (!tail.empty() && tail != "b" && tail != "ib") return tl::unexpected(not_a_size(text));
  }
  if (shift > 0 && *number > (UINT64_MAX >> shift))
    return fail(ERANGE, quoted(text) + " is too large a size");
  return *number << shift;
}

Result<std::uint64_t> parse_limit(std::string_view text) {
  if (text == "unlimited") return kUnlimited;
  auto size = parse_size(text);
  if (!size) size.error().message += "; 'unlimited' lifts a limit";
  return size;
}

Result<std::uint64_t> parse_count(std::string_view text) {
  std::string_view rest = text;
  const auto number = take_number(rest);
  if (!number || !rest.empty()) return fail(EINVAL, quoted(text) + " is not a whole number");
  return *number;
}

Result<std::int64_t> parse_duration_ms(std::string_view text) {
  std::string_view rest = text;
  const auto number = take_number(rest);
  std::int64_t unit = 0;
  if (rest == "ms") unit = 1;
  if (rest == "s") unit = 1000;
  if (rest == "m") unit = 60'000;
  if (rest == "h") unit = 3'600'000;
  if (number && *number == 0 && rest.empty()) return 0;
  if (!number || unit == 0 || *number > 1'000'000'000)
    return fail(EINVAL, quoted(text) + " is not a duration (like 250ms, 5s, 2m or 1h)");
  return static_cast<std::int64_t>(*number) * unit;
}

std::string format_size(std::uint64_t bytes) {
  static constexpr std::array<const char*, 7> kUnits = {"B",   "KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> out{};
  const bool whole = unit == 0 || value >= 100 || value == static_cast<std::uint64_t>(value);
  std::snprintf(out.data(), out.size(), whole ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return out.data();
}

std::string format_limit(std::uint64_t bytes) {
  return bytes == kUnlimited ? "unlimited" : format_size(bytes);
}

std::string format_seconds(std::uint64_t seconds) {
  const auto n = [](std::uint64_t v) { return std::to_string(v); };
  if (seconds < 60) return n(seconds) + "s";
  if (seconds < 3600) return n(seconds / 60) + "m " + n(seconds % 60) + "s";
  if (seconds < 86400) return n(seconds / 3600) + "h " + n(seconds / 60 % 60) + "m";
  return n(seconds / 86400) + "d " + n(seconds / 3600 % 24) + "h";
}

std::string rfc3339(std::int64_t unix_ns) {
  const auto seconds = static_cast<std::time_t>(unix_ns / kNsPerSecond);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> out{};
  std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return out.data();
}

Result<std::int64_t> parse_rfc3339(std::string_view text) {
  const std::string copy(text);
  std::tm parts{};
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0') return fail(EINVAL, quoted(text) + " is not a UTC time");
  return static_cast<std::int64_t>(timegm(&parts)) * kNsPerSecond;
}

std::string format_time(std::int64_t unix_ns, std::int64_t now) {
  const auto seconds = static_cast<std::time_t>(unix_ns / kNsPerSecond);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  std::array<char, 32> out{};
  std::strftime(out.data(), out.size(), "%Y-%m-%d %H:%M:%S", &parts);

  const std::int64_t age = (now - unix_ns) / kNsPerSecond;
  const auto ago = [](std::int64_t n, const char* unit) {
    return std::to_string(n) + " " + unit + (n == 1 ? "" : "s") + " ago";
  };
  std::string relative;
  if (age < 0) {
    relative = "in the future";
  } else if (age < 60) {
    relative = ago(age, "second");
  } else if (age < 3600) {
    relative = ago(age / 60, "minute");
  } else if (age < 86400) {
    relative = ago(age / 3600, "hour");
  } else {
    relative = ago(age / 86400, "day");
  }
  return std::string(out.data()) + " (" + relative + ")";
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * kNsPerSecond + now.tv_nsec;
}

}  // namespace projfs
