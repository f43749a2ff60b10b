// SPDX-License-Identifier: MIT
//
// The threads that serve all channels, and how they take turns.
//
// At most a few threads *poll* at a time; the others sleep, woken only when needed, because waking
// a thread on another CPU costs more than most requests. A poller reads a request and carries it
// out itself, then looks for the next. When there is none it goes on looking for spin_us (if it is
// one of the `spinners`), then sleeps in epoll_wait if it is the last poller, or else leaves
// polling to the others. While other programs want the CPUs, which a spinner notices by its yields
// taking long, nobody spins.
//
// Who replaces a poller that is busy:
//   - before a request that may wait for a disk (fsync, long reads) the poller hands its role over;
//   - a pacer, ticking every millisecond only while somebody polls, takes the role from a poller
//   that has
//     been inside one request for a whole tick, and adds a poller when none has found a moment's
//     pause during a tick.
//
// Fairness: a poller serves its hottest channel up to kBurst requests in a row, fewer when others
// are known to be waiting, then everyone that is ready once. No channel may occupy more than three
// quarters of the threads; beyond that it is muted until one of them comes back.
//
// States of a worker: idle -> polling (promoted) -> polling and inside a request -> either polling
// again or, when the role went to another meanwhile, polling again if there are too few pollers,
// else idle.
#pragma once

#include <sys/epoll.h>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fuse/channel.h"
#include "projfs/result.h"

namespace projfs::fuse {

// A channel among the workers.
struct Served {
  explicit Served(std::unique_ptr<Channel> c) : channel(std::move(c)) {}
  const std::unique_ptr<Channel> channel;
  std::uint64_t token = 0;  // given by Workers::add, never reused

  std::atomic<unsigned> inside = 0;  // threads at this channel
  std::atomic<bool> muted = false;   // taken out of epoll until `inside` falls
  std::mutex mute_mutex;             // orders changes of these two with epoll's
  bool ended = false;
};

class Workers {
 public:
  struct Options {
    unsigned threads = 16;
    unsigned spinners = 2;
    unsigned spin_us = 50;
    bool populate = false;  // a kill must not cost a request (see Buffers)
  };
  // Called by a worker, once for each channel, when the kernel has gone. The worker and others may
  // still hold the channel; the last to let go destroys it.
  using Ended = std::function<void(const std::shared_ptr<Served>&)>;

  static Result<std::unique_ptr<Workers>> start(const Options& options, Ended ended);
  // Finishes the requests that are being carried out, then joins the threads.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  Status add(const std::shared_ptr<Served>& served);
  // Threads that poll now, sleeping in epoll_wait or not.
  [[nodiscard]] unsigned pollers() const;
  // Whether somebody has looked for requests since the last call (the first one says yes). Makes
  // the one who sleeps look.
  [[nodiscard]] bool look_for_requests();

 private:
  struct Worker {
    explicit Worker(std::uint32_t slot) : buffers(slot) {}
    Buffers buffers;
    std::thread thread;
    std::atomic<bool> polls = false;       // changed under roles_
    std::atomic<std::uint64_t> begun = 0;  // requests; written by the thread alone
    std::atomic<std::uint64_t> done = 0;
    std::atomic<std::uint64_t> pauses = 0;          // times it looked and found nothing
    bool spins = false;                             // counted in spinning_
    bool warm = false;                              // has served since it last came to spin
    std::uint64_t seen_begun = 0, seen_pauses = 0;  // the pacer's, at its last tick
  };

  Workers(const Options& options, Ended ended);

  Status start_threads();
  void run(Worker& me);
  bool wait_for_role(Worker& me);
  void poll(Worker& me);
  Channel::Received turn(Worker& me, const std::shared_ptr<Served>& served);
  unsigned look_around(Worker& me, std::shared_ptr<Served>& hot);
  unsigned serve(Worker& me, std::shared_ptr<Served>& hot, std::span<const epoll_event> events);
  void yield();
  bool spin_on(Worker& me);
  void stop_spinning(Worker& me);
  // False: leave polling, another poller is there.
  bool sleep_as_last(Worker& me, std::shared_ptr<Served>& hot);

  // Role changes; all take roles_ but promote(), which requires it.
  void hand_over(Worker& me);
  bool regain(Worker& me);
  void resign(Worker& me);
  void promote();
  // Once requests come: brings the number of threads that look for them up to `spinners`.
  void call_spinners();

  Status open_pacer();
  void stop_pacer();
  void pace();
  bool tick();
  void arm_pacer();

  std::shared_ptr<Served> find(std::uint64_t token);
  void end(const std::shared_ptr<Served>& served);
  void mute(Served& served);
  void leave(Served& served);
  bool watch(const Served& served);

  const Options options_;
  const unsigned per_channel_;
  const Ended ended_;
  int epoll_ = -1, stop_event_ = -1, look_event_ = -1, timer_ = -1;
  std::atomic<bool> looked_ = true;

  mutable std::mutex channels_mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Served>> channels_;  // by token
  std::uint64_t next_token_ = 1;

  mutable std::mutex roles_;
  std::condition_variable promoted_;
  unsigned idle_ = 0;     // waiting for a role
  unsigned wanted_ = 0;   // roles offered to the idle and not yet taken
  unsigned pollers_ = 0;  // workers with the role
  bool asleep_ = false;   // one of them is in epoll_wait
  std::atomic<bool> stopping_ = false;

  std::atomic<unsigned> spinning_ = 0;
  std::atomic<std::int64_t> last_work_ns_ = 0;  // when a poller last ran out of requests
  // While others want the CPUs nobody spins.
  std::atomic<bool> crowded_ = false;
  std::atomic<std::int64_t> rest_until_ns_ = 0;
  std::atomic<std::int64_t> rest_ns_ = 0;  // how long the present rest is, or the last was
  std::atomic<bool> paced_ = false;        // the timer is running
  std::vector<std::unique_ptr<Worker>> workers_;
  std::thread pacer_;
};

}  // namespace projfs::fuse
