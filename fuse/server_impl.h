// SPDX-License-Identifier: MIT
//
// The server behind fuse/server.h, with the seam that tests and a takeover need: serving a channel
// whose descriptor came from elsewhere.
//
// Life of a mount: mounting -> served -> (detached) -> ended, when the kernel hangs up -> let go,
// when the last worker has left it: then the reaper closes the descriptor, drops the volume and
// reports it. Lock order: mutex_ is never held while a worker or the volume is called.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "fuse/mountpoint.h"
#include "fuse/server.h"
#include "fuse/workers.h"

namespace projfs::fuse {

class ServerImpl : public Server {
 public:
  explicit ServerImpl(const Options& options) : options_(options) {}
  Status start();
  ~ServerImpl() override;

  Status mount(const MountSpec& spec) override;
  Status unmount(std::string_view id, bool force) override;
  Result<bool> adopt(const MountSpec& spec, const KeptMount& kept, int fd, bool answered) override;
  void hand_over() override;
  bool is_looking() override { return workers_->look_for_requests(); }
  [[nodiscard]] std::optional<std::string> mountpoint(std::string_view id) const override;
  [[nodiscard]] std::vector<MountStats> stats() const override;
  void invalidate(std::string_view id, Ino parent, std::string_view name, Ino child) override;
  void on_unmounted(std::function<void(const std::string&)> callback) override;

  // Serves a descriptor that is not mounted here. Owns `fd`, also on failure.
  Status attach(const MountSpec& spec, int fd, std::uint64_t connection = 0);
  [[nodiscard]] unsigned pollers() const { return workers_->pollers(); }

 private:
  struct Mount {
    MountSpec spec;                // without the volume: the channel has it
    std::weak_ptr<Served> served;  // empty while mounting
    std::optional<Device> device;  // unset: attached, not mounted here
    std::uint64_t kept = 0;        // the number of its connection with the keeper
    bool live = false;             // has been served
    bool detached = false;         // no name any more, but still in use
  };

  Result<Mounted> put_in_place(const MountSpec& spec);
  Status reserve(const MountSpec& spec);
  void release(const std::string& id);
  Status serve(const MountSpec& spec, int fd, std::uint64_t connection = 0);
  std::shared_ptr<Served> enter(const MountSpec& spec, int fd, std::uint64_t connection);
  void keep(const MountSpec& spec, const Mounted& mounted, std::uint64_t connection);
  void wait_until_buried(const std::string& id);
  void reap();
  void bury(std::unique_ptr<Served> dead);
  void wait_until_gone(std::unique_lock<std::mutex>& lock, const std::string& id,
                       const std::weak_ptr<Served>& served);

  const Options options_;
  std::mutex mounting_;  // from looking at a mount point until it is one; taken before mutex_
  Sessions sessions_;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<Buffers> settling_;  // of the thread that adopts, once it does

  mutable std::mutex mutex_;
  std::condition_variable changed_;                   // a mount is gone, or dead_ grew
  std::map<std::string, Mount, std::less<>> mounts_;  // by id
  std::deque<std::unique_ptr<Served>> dead_;          // for the reaper
  std::function<void(const std::string&)> callback_;
  bool stopping_ = false, handing_over_ = false;
  std::thread reaper_;
};

}  // namespace projfs::fuse
