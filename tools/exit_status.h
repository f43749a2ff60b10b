// SPDX-License-Identifier: MIT
//
// How the daemon's programs end.
#pragma once

namespace projfs {

inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;
// "Start me again, the mounts wait": EX_TEMPFAIL, which systemd knows from the unit.
inline constexpr int kRestartMe = 75;

}  // namespace projfs
