// SPDX-License-Identifier: MIT
//
// Requests that the kernel sends a second time, because whoever read them died before answering.
// Most can simply be carried out again. Those that cannot leave a record (see request_id.h), and
// are answered by it if they had been carried out.
#pragma once

#include "fuse/request.h"

namespace projfs::fuse {

class Channel;

inline constexpr int kNotifyResend = 7;                              // 7.41, Linux 6.9
inline constexpr std::uint64_t kHasResend = std::uint64_t{1} << 39;  // of the flags of INIT
inline constexpr std::uint64_t kResent = std::uint64_t{1} << 63;     // in `unique`

// Whether doing it a second time would do harm, or give another answer.
[[nodiscard]] bool happens_once(std::uint32_t opcode);
// Whether the kernel had given this request to another process before. (It asks to FORGET and to
// INTERRUPT at any time.)
[[nodiscard]] bool is_resent(const Request& request);

// Answers a request that was carried out before, with that result. REQUIRES: well-formed,
// happens_once(), inside a Context.
void answer_again(Channel& channel, const Request& request, std::uint64_t result);

}  // namespace projfs::fuse
