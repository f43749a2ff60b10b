// SPDX-License-Identifier: MIT
//
// The admin socket: a Unix socket that takes JSON lines, knows by SO_PEERCRED who asks, and answers
// with progress lines and one line of outcome. A thread for each connection, their number bounded,
// for all and for each unprivileged user.
#pragma once

#include <sys/types.h>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "host/admin_service.h"
#include "host/descriptor.h"
#include "projfs/result.h"

namespace projfs {

class AdminSocket {
 public:
  static constexpr std::size_t kMaxRequestBytes = 64 << 10;
  static constexpr unsigned kMaxConnections = 64;
  static constexpr unsigned kMaxConnectionsOfUser = 8;  // unprivileged ones, each
  static constexpr int kIdleSeconds = 30;  // after that an unprivileged client is cut off

  // Listens at `path`; a socket left there by a killed daemon is replaced. `group`: whose members
  // may do everything; empty: only root. `service` must outlive the result. EADDRINUSE with a
  // sentence if somebody listens there; ENOENT if there is no such group.
  static Result<std::unique_ptr<AdminSocket>> listen(const std::string& path,
                                                     const std::string& group,
                                                     AdminService& service);
  // Begins to answer; who connected before has been waiting. Once.
  void serve();
  // Stops listening, tells running jobs to stop, waits for them, removes the socket.
  ~AdminSocket();
  AdminSocket(const AdminSocket&) = delete;
  AdminSocket& operator=(const AdminSocket&) = delete;

 private:
  AdminSocket(std::string path, std::optional<gid_t> group, AdminService& service);
  void accept_loop();
  void converse(Descriptor connection, const AdminPeer& peer);
  [[nodiscard]] bool is_admin(int connection, uid_t uid, gid_t gid) const;

  const std::string path_;
  const std::optional<gid_t> group_;
  AdminService& service_;
  Descriptor listener_, stop_event_;
  std::atomic<bool> stopping_ = false;
  std::thread acceptor_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable finished_;
  std::map<int, uid_t> connections_;  // by descriptor; each is served by a detached thread
};

}  // namespace projfs
