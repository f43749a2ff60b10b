// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <csignal>

#include "fuse_mounter.h"
#include "host/admin_service.h"
#include "host/admin_socket.h"
#include "host/descriptor.h"
#include "host/lifecycle.h"
#include "host/mounts.h"
#include "projfs/log.h"

namespace projfs {
namespace {

// Descriptors: one for each mount, each pack that is read, and the index's tables.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// glibc makes an arena for each thread and keeps what was freed in each; two, and giving back from
// 1 MiB on, hold the resident size near what is in use.
void hold_memory_down() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

// Blocks the signals in this and all later threads; they are read from the descriptor.
Result<Descriptor> take_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, one);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0)
    return fail_errno("cannot block signals");
  ::signal(SIGPIPE, SIG_IGN);
  Descriptor fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd) return fail_errno("cannot take signals");
  return fd;
}

// Until SIGTERM or SIGINT.
void wait_for_end(int signals) {
  for (;;) {
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) {
      if (errno == EINTR) continue;
      return;
    }
    if (info.ssi_signo == SIGHUP) {
      log::info("SIGHUP: the configuration is read at start only; restart to change it");
      continue;
    }
    log::info("stopping on signal {}", info.ssi_signo);
    return;
  }
}

Error explained(Error error, const std::string& store) {
  if (error.code == ENOENT) {
    error.message = store + " is not a store; is the disk that holds it mounted? " +
                    "'projfs-admin store init " + store + "' makes a new one";
  }
  if (error.code == EBUSY && error.message.empty())
    error.message = "another daemon has the store " + store + " open; stop it first";
  return error;
}

}  // namespace

Status run_daemon(const Config& config) {
  if (::geteuid() != 0) return fail(EPERM, "only root can mount; start it as root");
  hold_memory_down();
  raise_descriptor_limit();
  ::umask(0);
  PROJFS_ASSIGN(const Descriptor signals, take_signals());

  // Before the store is opened, which changes it: a table that can't be read is for a person to
  // mend.
  const std::string mount_table = config.store + "/mounts.json";
  PROJFS_TRY(load_mount_table(mount_table));
  ::sd_notify(0, "STATUS=opening the store, replaying its stage");
  auto opened = Store::open(config.store, config.engine);
  if (!opened) return tl::unexpected(explained(std::move(opened).error(), config.store));
  const auto store = *std::move(opened);

  fuse::Server::Options serving;
  serving.workers = static_cast<unsigned>(config.workers);
  serving.spin_us = static_cast<unsigned>(config.spin_us);
  PROJFS_ASSIGN(auto server, fuse::Server::start(serving));
  FuseMounter mounter(std::move(server));
  Mounts mounts(*store, mounter, config.projects_root, mount_table);
  SnapshotService snapshots(*store, config.snapshots);
  mounts.compose_with([&](const std::string& id) { return snapshots.tree(id); });
  Lifecycle lifecycle(*store, mounts, snapshots, config.store + "/lifecycle");
  AdminService service({*store, mounts, mounter, snapshots, lifecycle});
  snapshots.describe_with([&](const std::string& id) { return service.status_text(id); });

  auto socket = AdminSocket::listen(config.socket, config.admin_group, service);
  Status outcome;
  if (socket) {
    ::sd_notify(0, "STATUS=mounting the projects");
    outcome = lifecycle.restore();
  } else {
    outcome = tl::unexpected(socket.error());
  }
  if (outcome) {
    snapshots.start();
    (*socket)->serve();
    log::info("serving the store {} at {}", config.store, config.socket);
    ::sd_notify(0, "READY=1\nSTATUS=serving");
    wait_for_end(signals.get());
    ::sd_notify(0, "STOPPING=1");
  }
  mounts.keep_remembering();
  if (socket) socket->reset();
  snapshots.stop();
  mounter.stop();
  if (outcome) outcome = store->sync();
  if (outcome) log::info("stopped");
  return outcome;
}

}  // namespace projfs
