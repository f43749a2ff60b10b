// SPDX-License-Identifier: MIT
//
// What of a configuration changes while the daemon runs.
#pragma once

#include <string>
#include <vector>

#include "host/config.h"

namespace projfs {

// The keys in which the two differ that take effect at the next start only.
[[nodiscard]] std::vector<std::string> needs_restart(const Config& running, const Config& wanted);

}  // namespace projfs
