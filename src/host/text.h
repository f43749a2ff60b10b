// SPDX-License-Identifier: MIT
//
// Sizes, durations and times as people and configuration files write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "projfs/result.h"

namespace projfs {

// "4096", "500M", "10G", "10GiB", "10GB": powers of 1024 whatever the suffix; case does not matter.
// EINVAL with a sentence otherwise, ERANGE when it does not fit 64 bits.
Result<std::uint64_t> parse_size(std::string_view text);
// parse_size(), or kUnlimited for "unlimited".
Result<std::uint64_t> parse_limit(std::string_view text);
// Decimal digits only. EINVAL with a sentence otherwise.
Result<std::uint64_t> parse_count(std::string_view text);
// "0", "250ms", "5s", "2m", "1h", in milliseconds. EINVAL with a sentence otherwise.
Result<std::int64_t> parse_duration_ms(std::string_view text);

// "0 B", "512 B", "1.5 KiB", "20 GiB"
std::string format_size(std::uint64_t bytes);
// format_size(), or "unlimited"
std::string format_limit(std::uint64_t bytes);
// "12s", "3m 20s", "2h 5m"
std::string format_seconds(std::uint64_t seconds);
// "2026-01-31T23:59:59Z"
std::string rfc3339(std::int64_t unix_ns);
// The way back; EINVAL if it is not of exactly this form.
Result<std::int64_t> parse_rfc3339(std::string_view text);
// "2026-01-31 23:59:59 (3 minutes ago)", in local time
std::string format_time(std::int64_t unix_ns, std::int64_t now_ns);
std::int64_t now_ns();

}  // namespace projfs
