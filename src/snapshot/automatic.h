// SPDX-License-Identifier: MIT
//
// Makes and prunes the snapshots that policies ask for: one thread for all projects, asleep until
// the next is due. What a project costs that does not change is nothing.
//
// Life of a project here: quiet -> queued (its first change, or a mount, of which nobody knows
// what was changed before) -> due -> a snapshot if it did change -> quiet. A snapshot that could
// not be made is tried again in the next period; at the history quota it is skipped, pruning goes
// on, and skipped() says so until one succeeds.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "projfs/result.h"
#include "snapshot/change_signal.h"
#include "snapshot/schedule.h"

namespace projfs::snapshot {

class Automatic {
 public:
  // What is done to projects, and what time it is.
  class Host {
   public:
    virtual ~Host() = default;
    // How often, in ms; nothing: the policy is off. ENOENT: no such project.
    virtual Result<std::optional<std::int64_t>> period_ms(const std::string& id) = 0;
    // Whether there is anything that the newest snapshot does not have.
    virtual Result<bool> changed(const std::string& id) = 0;
    // EEXIST: the name is taken. EDQUOT: the history quota is used up.
    virtual Status make(const std::string& id, const std::string& name) = 0;
    // Deletes what the policy does not keep, until `stop` says so.
    virtual Status prune(const std::string& id, const std::function<bool()>& stop) = 0;
    virtual std::int64_t steady_ms() = 0;  // of a clock that never jumps
    virtual std::int64_t wall_ns() = 0;
  };

  explicit Automatic(Host& host) : host_(host) {}
  ~Automatic() { stop(); }
  Automatic(const Automatic&) = delete;
  Automatic& operator=(const Automatic&) = delete;

  // Begins to work by itself. Without it, only step() works.
  void start();
  // Finishes what it is doing; nothing is made or deleted after.
  void stop();

  // The signal of a project that is in use: the same one as long as anybody holds it.
  std::shared_ptr<ChangeSignal> signal(const std::string& id);
  // The project may have changed, or has another policy. Never waits.
  void look_at(const std::string& id);
  // Why the project's snapshots are skipped at present.
  [[nodiscard]] std::optional<std::string> skipped(const std::string& id) const;

  // Does what is due now; returns when to call it again, in ms of the steady clock.
  std::optional<std::int64_t> step();
  [[nodiscard]] std::size_t queued() const;

 private:
  void run();
  void hear_news();
  void serve(const std::string& id);
  Status make(const std::string& id);
  void queue(const std::string& id);  // for its next place, if its policy is on
  [[nodiscard]] bool stopping() const { return stopping_.load(); }

  Host& host_;
  mutable std::mutex mutex_;  // guards what follows; not held while the host works
  std::condition_variable wake_;
  std::vector<std::string> news_;
  Schedule schedule_;
  std::map<std::string, std::weak_ptr<ChangeSignal>, std::less<>> signals_;
  std::map<std::string, std::string, std::less<>> skipped_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace projfs::snapshot
