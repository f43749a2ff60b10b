// SPDX-License-Identifier: MIT
//
// The life of projfsd: opens the store, mounts what was mounted, takes orders, and on SIGTERM or
// SIGINT lets go of everything in the opposite order.
#pragma once

#include "host/config.h"
#include "projfs/result.h"

namespace projfs {

// Returns when the daemon has stopped cleanly, or with what kept it from starting.
Status run_daemon(const Config& config);

}  // namespace projfs
