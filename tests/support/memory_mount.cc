// SPDX-License-Identifier: MIT
//
// memory-mount DIR [SPINNERS [SPIN_US]]: mounts an empty volume in memory at DIR until interrupted
// or unmounted. For trying the FUSE edge alone.
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "fuse/server.h"
#include "support/memory_volume.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: memory-mount DIR [SPINNERS [SPIN_US]]\n");
    return 2;
  }
  sigset_t set;
  ::sigemptyset(&set);
  for (const int s : {SIGINT, SIGTERM, SIGUSR1}) ::sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);

  projfs::fuse::Server::Options options;
  if (argc > 2) options.spinners = static_cast<unsigned>(std::atoi(argv[2]));
  if (argc > 3) options.spin_us = static_cast<unsigned>(std::atoi(argv[3]));
  auto server = projfs::fuse::Server::start(options);
  if (!server) {
    std::fprintf(stderr, "memory-mount: %s\n", server.error().describe().c_str());
    return 1;
  }
  (*server)->on_unmounted([](const std::string&) { ::kill(::getpid(), SIGUSR1); });
  projfs::fuse::MountSpec spec;
  spec.id = "memory";
  spec.mountpoint = argv[1];
  spec.volume = std::make_shared<projfs::testing::MemoryVolume>();
  spec.allow_suid = spec.allow_devices = true;
  if (const auto mounted = (*server)->mount(spec); !mounted) {
    std::fprintf(stderr, "memory-mount: %s\n", mounted.error().describe().c_str());
    return 1;
  }
  int signal = 0;
  ::sigwait(&set, &signal);
  return 0;
}
