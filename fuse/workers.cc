// SPDX-License-Identifier: MIT
#include "fuse/workers.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>

namespace projfs::fuse {
namespace {

constexpr unsigned kBurst = 16;      // requests of the hottest channel before looking around
constexpr unsigned kLookEvery = 16;  // empty looks at the hottest channel before looking around
constexpr int kEvents = 32;
// A yield that takes this long gave the CPU to somebody with work of their own for a time slice,
// not to the client that waits for us.
constexpr std::int64_t kLostSliceNs = 500'000;
constexpr std::int64_t kShortestRestNs = 20'000'000, kLongestRestNs = 1'000'000'000;
constexpr std::uint64_t kStopToken = 0, kLookToken = UINT64_MAX;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Workers::Workers(const Options& options, Ended ended)
    : options_(options),
      per_channel_(options.threads - options.threads / 4),
      ended_(std::move(ended)) {}

Result<std::unique_ptr<Workers>> Workers::start(const Options& options, Ended ended) {
  if (options.threads == 0) return fail(EINVAL, "a server needs at least one worker");
  std::unique_ptr<Workers> made(new Workers(options, std::move(ended)));
  PROJFS_TRY(made->open_pacer());
  made->epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (made->epoll_ < 0) return fail_errno("epoll_create1");
  made->stop_event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->stop_event_ < 0) return fail_errno("eventfd");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStopToken}};
  if (::epoll_ctl(made->epoll_, EPOLL_CTL_ADD, made->stop_event_, &event) < 0)
    return fail_errno("epoll_ctl");
  made->look_event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made->look_event_ < 0) return fail_errno("eventfd");
  event.data.u64 = kLookToken;
  if (::epoll_ctl(made->epoll_, EPOLL_CTL_ADD, made->look_event_, &event) < 0)
    return fail_errno("epoll_ctl");

  // Signals are for the threads of the program that has us, never for these.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto started = made->start_threads();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  PROJFS_TRY(started);
  return made;
}

Status Workers::start_threads() try {
  for (unsigned i = 0; i < options_.threads; ++i) workers_.push_back(std::make_unique<Worker>(i));
  for (unsigned i = 0; i < options_.threads; ++i) {
    Worker& worker = *workers_[i];
    worker.thread = std::thread([this, &worker] { run(worker); });
    ::pthread_setname_np(worker.thread.native_handle(), ("fuse-" + std::to_string(i)).c_str());
  }
  pacer_ = std::thread([this] { pace(); });
  ::pthread_setname_np(pacer_.native_handle(), "fuse-pacer");
  return {};
} catch (const std::exception& e) {
  return fail(EAGAIN, std::string("starting the workers: ") + e.what());
}

Workers::~Workers() {
  {
    const std::lock_guard lock(roles_);
    stopping_ = true;
  }
  promoted_.notify_all();
  stop_pacer();
  if (stop_event_ >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(stop_event_, &one, sizeof one);
  }
  for (const auto& worker : workers_)
    if (worker->thread.joinable()) worker->thread.join();
  for (const int fd : {epoll_, stop_event_, look_event_})
    if (fd >= 0) ::close(fd);
}

Status Workers::add(const std::shared_ptr<Served>& served) {
  {
    const std::lock_guard lock(channels_mutex_);
    served->token = next_token_++;
    channels_.emplace(served->token, served);
  }
  if (!watch(*served)) {
    const int error = errno;
    const std::lock_guard lock(channels_mutex_);
    channels_.erase(served->token);
    return fail_errno("epoll_ctl", error);
  }
  return {};
}

bool Workers::watch(const Served& served) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = served.token}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, served.channel->fd(), &event) == 0;
}

std::shared_ptr<Served> Workers::find(std::uint64_t token) {
  const std::lock_guard lock(channels_mutex_);
  const auto it = channels_.find(token);
  return it == channels_.end() ? nullptr : it->second;
}

void Workers::end(const std::shared_ptr<Served>& served) {
  {
    const std::lock_guard lock(channels_mutex_);
    if (channels_.erase(served->token) == 0) return;  // another worker was first
  }
  {
    const std::lock_guard lock(served->mute_mutex);
    served->ended = true;
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, served->channel->fd(), nullptr);
  }
  ended_(served);
}

bool Workers::look_for_requests() {
  if (!looked_.exchange(false)) return false;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(look_event_, &one, sizeof one);
  return true;
}

void Workers::run(Worker& me) {
  for (bool first = options_.populate; wait_for_role(me); first = false) {
    if (first) me.buffers.populate();
    poll(me);
  }
}

Channel::Received Workers::turn(Worker& me, const std::shared_ptr<Served>& served) {
  Channel& channel = *served->channel;
  if (served->inside.fetch_add(1) >= per_channel_) {
    mute(*served);
    leave(*served);
    return Channel::Received::kNothing;
  }
  Request request;
  const auto received = channel.receive(me.buffers.request(), request);
  if (received == Channel::Received::kRequest) {
    me.begun.store(me.begun.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (request.has_header() && request.may_wait()) hand_over(me);
    channel.process(request, me.buffers);
    me.done.store(me.begun.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  leave(*served);
  if (received == Channel::Received::kEnded) end(served);
  return received;
}

// Gives everyone that is ready one turn; returns how many were ready. The last served becomes
// `hot`. Leaves early when the role is lost.
unsigned Workers::look_around(Worker& me, std::shared_ptr<Served>& hot) {
  std::array<epoll_event, kEvents> events;
  const int n = ::epoll_wait(epoll_, events.data(), kEvents, 0);
  return n > 0 ? serve(me, hot, {events.data(), static_cast<std::size_t>(n)}) : 0;
}

unsigned Workers::serve(Worker& me, std::shared_ptr<Served>& hot,
                        std::span<const epoll_event> events) {
  unsigned served_some = 0;
  for (const auto& event : events) {
    if (stopping_) break;
    if (event.data.u64 == kLookToken) {
      std::uint64_t asked = 0;
      if (::read(look_event_, &asked, sizeof asked) == sizeof asked) looked_ = true;
      continue;
    }
    auto served = find(event.data.u64);
    if (!served) continue;
    if (turn(me, served) != Channel::Received::kRequest) continue;
    ++served_some;
    hot = std::move(served);
    if (!me.polls) break;
  }
  return served_some;
}

void Workers::poll(Worker& me) {
  std::shared_ptr<Served> hot;
  unsigned burst = kBurst, since_look = 0;
  me.warm = false;
  for (;;) {
    if (stopping_) return resign(me);
    bool found = false, look = !hot || ++since_look >= kLookEvery;
    if (hot) {
      unsigned i = 0;
      auto received = Channel::Received::kRequest;
      while (i < burst && (received = turn(me, hot)) == Channel::Received::kRequest) {
        ++i;
        if (!me.polls && !regain(me)) return;
      }
      found = i > 0;
      look = look || i == burst;
      if (received == Channel::Received::kEnded || hot->muted) hot.reset();
    }
    if (look) {
      since_look = 0;
      const unsigned ready = look_around(me, hot);
      if (!me.polls && !regain(me)) return;
      burst = ready > 1 ? 1 : kBurst;
      found = found || ready > 0;
    }
    if (found) {
      me.warm = true;
      if (me.spins) stop_spinning(me);
      continue;
    }
    me.pauses.store(me.pauses.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (spin_on(me)) {
      yield();
      continue;
    }
    stop_spinning(me);
    if (!look && !crowded_) {  // all others, before giving up
      since_look = kLookEvery;
      if (look_around(me, hot) > 0) {
        me.warm = true;
        if (!me.polls && !regain(me)) return;
        continue;
      }
      if (!me.polls && !regain(me)) return;
    }
    hot.reset();  // a sleeping thread must not keep an ended mount alive
    if (!sleep_as_last(me, hot)) return;
    if (!me.polls && !regain(me)) return;
  }
}

// On a CPU that others want, they go first. A thread that spins there pays twice: it waits while
// they run, and what it used up spinning makes the scheduler prefer them to it when a request
// comes. One that sleeps is run at once, and on the client's own CPU, so spinning rests.
void Workers::yield() {
  const auto before = now_ns();
  ::sched_yield();
  const auto after = now_ns();
  if (after - before < kLostSliceNs) return;
  const auto rested_until = rest_until_ns_.load(std::memory_order_relaxed);
  if (after < rested_until) return;
  const auto last = rest_ns_.load(std::memory_order_relaxed);
  const auto rest =
      after - rested_until < last ? std::min(2 * last, kLongestRestNs) : kShortestRestNs;
  rest_ns_.store(rest, std::memory_order_relaxed);
  rest_until_ns_.store(after + rest, std::memory_order_relaxed);
  crowded_.store(true, std::memory_order_relaxed);
}

bool Workers::spin_on(Worker& me) {
  if (options_.spinners == 0 || options_.spin_us == 0) return false;
  const std::int64_t now = now_ns();
  if (crowded_.load(std::memory_order_relaxed)) {
    if (now < rest_until_ns_.load(std::memory_order_relaxed)) return false;
    crowded_.store(false, std::memory_order_relaxed);
  }
  if (me.warm) {
    me.warm = false;
    last_work_ns_.store(now, std::memory_order_relaxed);
  }
  if (now - last_work_ns_.load(std::memory_order_relaxed) >= std::int64_t{options_.spin_us} * 1000)
    return false;
  if (!me.spins) {
    if (spinning_.fetch_add(1) >= options_.spinners) {
      spinning_.fetch_sub(1);
      return false;
    }
    me.spins = true;
  }
  return true;
}

void Workers::stop_spinning(Worker& me) {
  if (!me.spins) return;
  me.spins = false;
  spinning_.fetch_sub(1);
}

bool Workers::sleep_as_last(Worker& me, std::shared_ptr<Served>& hot) {
  {
    const std::lock_guard lock(roles_);
    if (!me.polls) return true;  // the pacer took it: the caller sees to that
    if (pollers_ > 1) {
      me.polls = false;
      --pollers_;
      return false;
    }
    asleep_ = true;
  }
  std::array<epoll_event, kEvents> events;
  const int n = ::epoll_wait(epoll_, events.data(), kEvents, -1);
  {
    const std::lock_guard lock(roles_);
    asleep_ = false;
  }
  arm_pacer();
  if (n <= 0) return true;
  if (serve(me, hot, {events.data(), static_cast<std::size_t>(n)}) > 0) {
    me.warm = true;
    last_work_ns_.store(now_ns(), std::memory_order_relaxed);
    if (!crowded_) call_spinners();
  }
  return true;
}

// `muted` is set before `inside` is looked at again, and leave() lowers `inside` before it looks at
// `muted`: one of the two sees the other, so a channel never stays muted with nobody inside.
void Workers::mute(Served& served) {
  const std::lock_guard lock(served.mute_mutex);
  if (served.muted) return;
  served.muted = true;
  if (served.inside > per_channel_) {  // the caller is counted too
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, served.channel->fd(), nullptr);
  } else {
    served.muted = false;
  }
}

void Workers::leave(Served& served) {
  served.inside.fetch_sub(1);
  if (!served.muted) return;
  const std::lock_guard lock(served.mute_mutex);
  if (served.muted && served.inside < per_channel_) {
    served.muted = false;
    if (!served.ended) watch(served);
  }
}

}  // namespace projfs::fuse
