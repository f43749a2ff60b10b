// SPDX-License-Identifier: MIT
//
// The life of projfsd: opens the store, goes on serving mounts that outlived its predecessor,
// mounts what else was mounted, takes orders, and lets go of everything in the opposite order on
//   SIGTERM, SIGINT   the mounts end too, unless systemd is about to start it again
//   SIGUSR2           the mounts stay for the next daemon, if somebody keeps them
// SIGHUP reads the configuration again.
#pragma once

#include <functional>

#include "host/config.h"
#include "projfs/result.h"

namespace projfs {

enum class Ended {
  kForGood,
  kToStartAgain,  // the mounts wait for the next daemon
};

// Returns when the daemon has stopped cleanly, or with what kept it from starting.
Result<Ended> run_daemon(const Config& config, const std::function<Result<Config>()>& read_again);

}  // namespace projfs
