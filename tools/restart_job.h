// SPDX-License-Identifier: MIT
//
// Why systemd ends this process. `stop` and `restart` send the same signal; the job that is queued
// for the unit tells them apart.
#pragma once

#include <cstddef>

namespace projfs {

// Whether systemd will start this service again at once, and keeps at least `descriptors` of it
// meanwhile. False where systemd does not say, or is not what started the process.
[[nodiscard]] bool systemd_restarts_us(std::size_t descriptors);

}  // namespace projfs
