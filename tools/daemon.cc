// SPDX-License-Identifier: MIT
#include "daemon.h"

#include <malloc.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <csignal>

#include "descriptor_store.h"
#include "fuse_mounter.h"
#include "host/admin_service.h"
#include "host/admin_socket.h"
#include "host/descriptor.h"
#include "host/lifecycle.h"
#include "host/mounts.h"
#include "projfs/log.h"
#include "reload.h"
#include "restart_job.h"

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
  for (const int one : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&signals, one);
  if (::pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0)
    return fail_errno("cannot block signals");
  ::signal(SIGPIPE, SIG_IGN);
  Descriptor fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd) return fail_errno("cannot take signals");
  return fd;
}

// Until a signal ends the daemon.
class EventLoop {
 public:
  EventLoop(int signals, Config running, const std::function<Result<Config>()>& read_again,
            SnapshotService& snapshots, FuseMounter& mounter, bool mounts_are_kept)
      : signals_(signals),
        running_(std::move(running)),
        read_again_(read_again),
        snapshots_(snapshots),
        mounter_(mounter),
        mounts_are_kept_(mounts_are_kept) {}

  Ended run() {
    std::uint64_t watchdog_us = 0;
    const bool watched = ::sd_watchdog_enabled(0, &watchdog_us) > 0;
    const int timeout = watched ? static_cast<int>(watchdog_us / 4000) + 1 : -1;
    for (;;) {
      // Fed only when the threads that serve the mounts have got round since the last time.
      if (watched && mounter_.is_looking()) ::sd_notify(0, "WATCHDOG=1");
      pollfd waiting{.fd = signals_, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, timeout) <= 0) continue;
      signalfd_siginfo info{};
      if (::read(signals_, &info, sizeof info) != sizeof info) continue;
      if (info.ssi_signo == SIGHUP) {
        reload();
      } else if (const auto ended = end_by(info.ssi_signo)) {
        return *ended;
      }
    }
  }

 private:
  void reload() {
    const auto wanted = read_again_();
    if (!wanted) {
      log::error("SIGHUP: {}; the configuration stays as it was", wanted.error().describe());
      return;
    }
    spdlog::default_logger()->set_level(spdlog::level::from_str(wanted->log_level));
    snapshots_.set_defaults(wanted->snapshots);
    std::string later;
    for (const auto& key : needs_restart(running_, *wanted))
      later.append(later.empty() ? "" : ", ").append(key);
    log::info("SIGHUP: read the configuration again{}{}",
              later.empty() ? "" : "; these keys take effect at the next start only: ", later);
  }

  std::optional<Ended> end_by(unsigned signal) {
    if (signal != SIGUSR2) {
      log::info("stopping on signal {}", signal);
      const bool restarts = mounts_are_kept_ && systemd_restarts_us(mounter_.figures().size());
      return restarts ? Ended::kToStartAgain : Ended::kForGood;
    }
    if (mounts_are_kept_) {
      log::info("stopping on signal {}; the mounts stay", signal);
      return Ended::kToStartAgain;
    }
    log::error(
        "signal {} asks for an end that leaves the mounts, and nobody keeps them: start the "
        "daemon with systemd or projfs-supervise; it goes on",
        signal);
    return std::nullopt;
  }

  const int signals_;
  const Config running_;
  const std::function<Result<Config>()>& read_again_;
  SnapshotService& snapshots_;
  FuseMounter& mounter_;
  const bool mounts_are_kept_;
};

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

Result<Ended> run_daemon(const Config& config, const std::function<Result<Config>()>& read_again) {
  if (::geteuid() != 0) return fail(EPERM, "only root can mount; start it as root");
  hold_memory_down();
  raise_descriptor_limit();
  ::umask(0);
  PROJFS_ASSIGN(const Descriptor signals, take_signals());

  // Before the store is opened, which changes it: a table that can't be read is for a person to
  // mend.
  const std::string mount_table = config.store + "/mounts.json";
  PROJFS_TRY(load_mount_table(mount_table));
  const auto descriptors = DescriptorStore::open(config.store + "/connections");
  auto engine = config.engine;
  if (descriptors) {
    for (const auto& kept : descriptors->kept()) engine.still_mounted.insert(kept.mount.id);
  }
  ::sd_notify(0, "STATUS=opening the store, replaying its stage");
  auto opened = Store::open(config.store, engine);
  if (!opened) return tl::unexpected(explained(std::move(opened).error(), config.store));
  const auto store = *std::move(opened);

  if (descriptors) PROJFS_TRY(descriptors->begin());

  fuse::Server::Options serving;
  serving.workers = static_cast<unsigned>(config.workers);
  serving.spin_us = static_cast<unsigned>(config.spin_us);
  serving.keeper = descriptors.get();
  serving.resend = config.resend;
  serving.answered = [&store](const RequestId& request) { return store->answered(request); };
  PROJFS_ASSIGN(auto server, fuse::Server::start(serving));
  FuseMounter mounter(std::move(server), descriptors.get());
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
    if (outcome) outcome = store->forget_answers();
  } else {
    outcome = tl::unexpected(socket.error());
  }
  auto ended = Ended::kForGood;
  if (outcome) {
    snapshots.start();
    (*socket)->serve();
    log::info("serving the store {} at {}", config.store, config.socket);
    ::sd_notify(0, "READY=1\nSTATUS=serving");
    ended = EventLoop(signals.get(), config, read_again, snapshots, mounter, descriptors != nullptr)
                .run();
    ::sd_notify(0, "STOPPING=1");
  }
  // Most of the syncing is done while requests are still answered.
  if (ended == Ended::kToStartAgain) outcome = store->sync();
  mounts.keep_remembering();
  if (socket) socket->reset();
  snapshots.stop();
  if (ended == Ended::kToStartAgain) {
    mounter.hand_over();
    if (outcome) outcome = store->sync();
    if (outcome) outcome = descriptors->mark_drained();
  }
  mounter.stop();
  if (outcome && ended == Ended::kForGood) outcome = store->sync();
  PROJFS_TRY(outcome);
  log::info("stopped");
  return ended;
}

}  // namespace projfs
