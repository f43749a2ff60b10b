// SPDX-License-Identifier: MIT
#include "fuse/server.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <csignal>

#include "fuse/server_impl.h"
#include "projfs/log.h"
#include "projfs/out_of_reach.h"

namespace projfs::fuse {
namespace {

bool hung_up(int fd) {
  pollfd state{.fd = fd, .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const Options& options) {
  auto made = std::make_unique<ServerImpl>(options);
  PROJFS_TRY(made->start());
  return made;
}

Status ServerImpl::start() {
  PROJFS_ASSIGN(workers_, Workers::start({.threads = options_.workers,
                                          .spinners = options_.spinners,
                                          .spin_us = options_.spin_us,
                                          .populate = options_.keeper != nullptr},
                                         [](const std::shared_ptr<Served>&) {}));
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  reaper_ = std::thread([this] { reap(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

ServerImpl::~ServerImpl() {
  std::vector<std::pair<std::string, Device>> left;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, mount] : mounts_)
      if (mount.device && !mount.detached && !handing_over_)
        left.emplace_back(mount.spec.mountpoint, *mount.device);
  }
  for (const auto& [path, device] : left) {
    auto done = unmount_fuse(path, device, false);
    if (!done && done.error().code == EBUSY) done = unmount_fuse(path, device, true);
    if (!done) log::warn("fuse: {}", done.error().describe());
  }
  // Letting the channels go closes their descriptors: what is still in use fails with ENOTCONN.
  workers_.reset();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (reaper_.joinable()) reaper_.join();
}

Status ServerImpl::reserve(const MountSpec& spec) {
  std::unique_lock lock(mutex_);
  // Unmounted from outside a moment ago: what is left of it goes by itself.
  if (const auto it = mounts_.find(spec.id); it != mounts_.end())
    wait_until_gone(lock, spec.id, std::weak_ptr<Served>(it->second.served));
  if (const auto it = mounts_.find(spec.id); it != mounts_.end()) {
    if (it->second.detached)
      return fail(EBUSY, "project " + spec.id + " is still in use where it was mounted before");
    return fail(EBUSY, "project " + spec.id + " is mounted at " + it->second.spec.mountpoint);
  }
  Mount mount{.spec = spec, .served = {}, .device = {}};
  mount.spec.volume.reset();
  mounts_.emplace(spec.id, std::move(mount));
  return {};
}

void ServerImpl::release(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    mounts_.erase(id);
  }
  changed_.notify_all();
}

Status ServerImpl::mount(const MountSpec& spec) {
  PROJFS_ASSIGN(const Mounted mounted, put_in_place(spec));
  const auto connection = options_.keeper != nullptr ? random_connection() : 0;
  if (auto served = serve(spec, mounted.fd, connection); !served) {
    if (const auto undone = unmount_fuse(spec.mountpoint, mounted.device, true); !undone)
      log::warn("fuse: {}", undone.error().describe());
    wait_until_buried(spec.id);
    return served;
  }
  raise_readahead(mounted.device);  // the answer to INIT lowered it
  if (connection != 0) keep(spec, mounted, connection);
  return {};
}

void ServerImpl::wait_until_buried(const std::string& id) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !mounts_.contains(id); });
}

// Everything of a mount but the serving.
Result<Mounted> ServerImpl::put_in_place(const MountSpec& spec) {
  const std::lock_guard one_at_a_time(mounting_);
  PROJFS_TRY(check_mountpoint(spec.mountpoint));
  PROJFS_TRY(reserve(spec));
  auto mounted = mount_fuse(spec.id, spec.mountpoint,
                            {.read_only = spec.read_only,
                             .allow_suid = spec.allow_suid,
                             .allow_devices = spec.allow_devices});
  if (!mounted) {
    release(spec.id);
    return tl::unexpected(mounted.error());
  }
  {
    const std::lock_guard lock(mutex_);
    mounts_.at(spec.id).device = mounted->device;
  }
  return *mounted;
}

Status ServerImpl::attach(const MountSpec& spec, int fd, std::uint64_t connection) {
  if (auto reserved = reserve(spec); !reserved) {
    ::close(fd);
    return reserved;
  }
  return serve(spec, fd, connection);
}

// From here on the id is released by whoever buries the channel.
std::shared_ptr<Served> ServerImpl::enter(const MountSpec& spec, int fd, std::uint64_t connection) {
  std::shared_ptr<Served> served(
      new Served(std::make_unique<Channel>(fd, spec.id, spec.volume, options_.cache_timeout_s,
                                           connection)),
      [this](Served* dead) {
        {
          const std::lock_guard lock(mutex_);
          dead_.emplace_back(dead);
        }
        changed_.notify_all();
      });
  {
    const std::lock_guard lock(mutex_);
    mounts_.at(spec.id).served = served;
  }
  return served;
}

Status ServerImpl::serve(const MountSpec& spec, int fd, std::uint64_t connection) {
  const auto served = enter(spec, fd, connection);
  // The view comes first: after the first request an inode may be open.
  spec.volume->set_kernel_view(served->channel.get());
  PROJFS_TRY(served->channel->greet(sessions_));
  PROJFS_TRY(workers_->add(served));
  const std::lock_guard lock(mutex_);
  if (const auto it = mounts_.find(spec.id); it != mounts_.end()) it->second.live = true;
  return {};
}

Status ServerImpl::unmount(std::string_view id, bool force) {
  std::unique_lock lock(mutex_);
  const auto it = mounts_.find(id);
  if (it == mounts_.end() || it->second.detached || !it->second.device)
    return fail(ENOENT, "project " + std::string(id) + " is not mounted");
  const std::string name = it->first, path = it->second.spec.mountpoint;
  const Device device = *it->second.device;
  const std::weak_ptr<Served> served = it->second.served;
  lock.unlock();

  auto done = unmount_fuse(path, device, false);
  if (!done && done.error().code == EBUSY && force) done = unmount_fuse(path, device, true);
  PROJFS_TRY(done);

  lock.lock();
  if (const auto still = mounts_.find(name); still != mounts_.end() &&
                                             !still->second.served.owner_before(served) &&
                                             !served.owner_before(still->second.served))
    still->second.detached = true;
  wait_until_gone(lock, name, served);
  return {};
}

// Unless somebody still uses the file system, through an open file after a forced unmount or
// through another mount namespace: then it is served until they leave.
void ServerImpl::wait_until_gone(std::unique_lock<std::mutex>& lock, const std::string& id,
                                 const std::weak_ptr<Served>& served) {
  lock.unlock();
  bool ending = true;
  if (const auto alive = served.lock()) ending = hung_up(alive->channel->fd());
  lock.lock();
  if (!ending) return;
  changed_.wait(lock, [&] {
    const auto it = mounts_.find(id);
    return it == mounts_.end() || it->second.served.owner_before(served) ||
           served.owner_before(it->second.served);
  });
}

std::optional<std::string> ServerImpl::mountpoint(std::string_view id) const {
  std::shared_ptr<Served> served;  // let go of after the lock
  const std::lock_guard lock(mutex_);
  const auto it = mounts_.find(id);
  if (it == mounts_.end() || it->second.detached || !it->second.device) return std::nullopt;
  // The kernel hung up: somebody unmounted it, and the reaper has not come by yet.
  served = it->second.served.lock();
  if (served && hung_up(served->channel->fd())) return std::nullopt;
  return it->second.spec.mountpoint;
}

std::vector<MountStats> ServerImpl::stats() const {
  std::vector<MountStats> out;
  std::vector<std::shared_ptr<Served>> held;  // let go after the lock: the deleter takes it
  const std::lock_guard lock(mutex_);
  for (const auto& [id, mount] : mounts_) {
    auto served = mount.served.lock();
    if (!served) continue;
    const Traffic& traffic = served->channel->traffic();
    out.push_back({.id = id,
                   .mountpoint = mount.spec.mountpoint,
                   .requests = traffic.requests,
                   .bytes_read = traffic.bytes_read,
                   .bytes_written = traffic.bytes_written,
                   .errors = traffic.errors});
    held.push_back(std::move(served));
  }
  return out;
}

void ServerImpl::invalidate(std::string_view id, Ino parent, std::string_view name, Ino child) {
  std::shared_ptr<Served> served;
  {
    const std::lock_guard lock(mutex_);
    const auto it = mounts_.find(id);
    if (it != mounts_.end()) served = it->second.served.lock();
  }
  if (!served) return;
  if (!name.empty()) served->channel->forget_entry(parent, name);
  served->channel->forget_inode(parent);
  served->channel->forget_inode(child);
}

void ServerImpl::on_unmounted(std::function<void(const std::string&)> callback) {
  const std::lock_guard lock(mutex_);
  callback_ = std::move(callback);
}

void ServerImpl::bury(std::unique_ptr<Served> dead) {
  const std::string id = dead->channel->id();
  bool kernel_stays = false;
  std::uint64_t kept = 0;
  std::function<void(const std::string&)> callback;
  {
    const std::lock_guard lock(mutex_);
    const Mount& mount = mounts_.at(id);
    kernel_stays = handing_over_;
    kept = mount.kept;
    if (mount.live) callback = callback_;
  }
  dead->channel->volume().set_kernel_view(kernel_stays ? out_of_reach() : nullptr);
  dead.reset();
  if (kept != 0 && !kernel_stays && options_.keeper != nullptr) options_.keeper->let_go(kept);
  release(id);
  if (callback) callback(id);
}

void ServerImpl::reap() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !dead_.empty(); });
    if (dead_.empty()) return;
    auto dead = std::move(dead_.front());
    dead_.pop_front();
    lock.unlock();
    bury(std::move(dead));
    lock.lock();
  }
}

}  // namespace projfs::fuse
