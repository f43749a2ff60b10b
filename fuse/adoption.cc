// SPDX-License-Identifier: MIT
//
// Mounts that outlive the process: kept, handed over, adopted.
#include "fuse/resent.h"
#include "fuse/server_impl.h"
#include "projfs/log.h"
#include "projfs/out_of_reach.h"

namespace projfs::fuse {
namespace {

bool asks_for_no_answer(const Request& request) {
  if (!request.has_header()) return true;
  const auto opcode = request.opcode();
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

// Carries out what the kernel sends again: it comes before everything else, and another thread
// must not begin with that before.
Result<unsigned> settle(Channel& channel, const Buffers& buffers) {
  for (unsigned resent = 0;;) {
    Request request;
    switch (channel.receive(buffers.request(), request)) {
      case Channel::Received::kNothing:
        return resent;
      case Channel::Received::kEnded:
        return fail(ENODEV, "it was unmounted meanwhile");
      case Channel::Received::kRequest:
        break;
    }
    const bool again = is_resent(request), silent = asks_for_no_answer(request);
    channel.process(request, buffers);
    if (silent) continue;
    if (!again) return resent;
    ++resent;
  }
}

}  // namespace

void ServerImpl::keep(const MountSpec& spec, const Mounted& mounted, std::uint64_t connection) {
  KeptMount kept{.connection = connection,
                 .id = spec.id,
                 .mountpoint = spec.mountpoint,
                 .device = mounted.device,
                 .flags = {.read_only = spec.read_only,
                           .allow_suid = spec.allow_suid,
                           .allow_devices = spec.allow_devices},
                 .init = {},
                 .granted = 0};
  std::shared_ptr<Served> served;  // let go of after the lock
  {
    const std::lock_guard lock(mutex_);
    const auto it = mounts_.find(spec.id);
    if (it == mounts_.end() || !(served = it->second.served.lock())) return;  // unmounted already
    it->second.kept = connection;
  }
  kept.init = served->channel->init_request();
  kept.granted = served->channel->negotiated().granted;
  if (const auto done = options_.keeper->keep(kept, served->channel->fd()); !done)
    log::error("project {}: its mount will end with this process: {}", spec.id,
               done.error().describe());
}

Result<bool> ServerImpl::adopt(const MountSpec& spec, const KeptMount& kept, int fd,
                               bool answered) {
  if (auto reserved = reserve(spec); !reserved) {
    ::close(fd);
    return tl::unexpected(reserved.error());
  }
  const auto there = device_of(spec.mountpoint);
  const bool named = there && *there == kept.device;
  {
    const std::lock_guard lock(mutex_);
    Mount& mount = mounts_.at(spec.id);
    mount.device = kept.device;
    mount.detached = !named;
    mount.kept = kept.connection;
  }
  // Slots below are the workers'.
  if (!settling_) {
    settling_ = std::make_unique<Buffers>(options_.workers);
    settling_->populate();
  }
  // An inode that an unanswered request made is not known to the kernel yet.
  spec.volume->set_kernel_view(out_of_reach());
  auto served = enter(spec, fd, kept.connection);
  Channel& channel = *served->channel;
  channel.look_up_answers(options_.answered);
  const auto go_on = [&]() -> Status {
    PROJFS_TRY(channel.resume(sessions_, kept));
    if (options_.resend && (channel.negotiated().offered & kHasResend) != 0) {
      PROJFS_TRY(channel.ask_again());
      PROJFS_ASSIGN(const unsigned resent, settle(channel, *settling_));
      if (resent != 0) log::info("project {}: {} requests were sent again", spec.id, resent);
    } else if (!answered) {
      return fail(EOPNOTSUPP, "this kernel cannot send again what was not answered");
    }
    spec.volume->set_kernel_view(&channel);
    return workers_->add(served);
  };
  if (auto done = go_on(); !done) {
    served.reset();
    wait_until_buried(spec.id);
    return tl::unexpected(done.error());
  }
  const std::lock_guard lock(mutex_);
  if (const auto it = mounts_.find(spec.id); it != mounts_.end()) it->second.live = true;
  return named;
}

void ServerImpl::hand_over() {
  {
    const std::lock_guard lock(mutex_);
    handing_over_ = true;
  }
  workers_.reset();
}

}  // namespace projfs::fuse
