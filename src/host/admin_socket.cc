// SPDX-License-Identifier: MIT
#include "host/admin_socket.h"

#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "host/line_channel.h"
#include "projfs/log.h"

namespace projfs {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
constexpr std::size_t kItemBytes = 64 << 10;  // sent together
constexpr auto kProgressEvery = std::chrono::milliseconds(200);

json error_line(const Error& error) {
  const char* name = strerrorname_np(error.code);
  return {{"error",
           {{"errno", error.code},
            {"name", name == nullptr ? "EIO" : name},
            {"message", error.describe()}}}};
}

std::string dump(const json& line) {
  // Names in a project may hold any byte; what is not UTF-8 is shown as U+FFFD.
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

bool somebody_listens(const sockaddr_un& address) {
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Result<Descriptor> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ENAMETOOLONG, "the socket path " + path + " is longer than 107 bytes");
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));

  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode))
      return fail(EEXIST, "the socket path " + path + " is taken by something else; remove it");
    if (somebody_listens(address))
      return fail(EADDRINUSE, "another daemon answers at the socket " + path + "; stop it first");
    ::unlink(path.c_str());
  }
  Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return fail_errno("cannot make a socket");
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("cannot listen at the socket " + path);
  // Everybody may connect: what they may do is decided by who they are.
  if (::chmod(path.c_str(), 0666) != 0 || ::listen(listener.get(), 64) != 0)
    return fail_errno("cannot listen at the socket " + path);
  return listener;
}

}  // namespace

AdminSocket::AdminSocket(std::string path, std::optional<gid_t> group, AdminService& service)
    : path_(std::move(path)), group_(group), service_(service) {}

Result<std::unique_ptr<AdminSocket>> AdminSocket::listen(const std::string& path,
                                                         const std::string& group,
                                                         AdminService& service) {
  std::optional<gid_t> gid;
  if (!group.empty()) {
    const auto* entry = ::getgrnam(group.c_str());
    if (entry == nullptr)
      return fail(ENOENT,
                  "admin_group: there is no group '" + group + "'; create it or leave it out");
    gid = entry->gr_gid;
  }
  std::unique_ptr<AdminSocket> self(new AdminSocket(path, gid, service));
  PROJFS_ASSIGN(self->listener_, listen_at(path));
  self->stop_event_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!self->stop_event_) return fail_errno("cannot make an event");
  return self;
}

void AdminSocket::serve() {
  acceptor_ = std::thread([this] { accept_loop(); });
}

AdminSocket::~AdminSocket() {
  stopping_ = true;
  if (acceptor_.joinable()) {
    ::eventfd_write(stop_event_.get(), 1);
    acceptor_.join();
  }
  if (listener_) ::unlink(path_.c_str());
  std::unique_lock lock(mutex_);
  for (const auto& [fd, uid] : connections_) ::shutdown(fd, SHUT_RDWR);
  finished_.wait(lock, [this] { return connections_.empty(); });
}

bool AdminSocket::is_admin(int connection, uid_t uid, gid_t gid) const {
  if (uid == 0) return true;
  if (!group_) return false;
  if (gid == *group_) return true;
  std::vector<gid_t> groups(64);
  socklen_t length = 0;
  for (;;) {
    length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) break;
    if (errno != ERANGE) return false;
    groups.resize(length / sizeof(gid_t));
  }
  groups.resize(length / sizeof(gid_t));
  return std::find(groups.begin(), groups.end(), *group_) != groups.end();
}

void AdminSocket::accept_loop() {
  for (;;) {
    pollfd ready[] = {{listener_.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (stopping_) return;
    Descriptor connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) {
      // Out of descriptors: the pending connection stays ready, do not spin on it.
      if (errno == EMFILE || errno == ENFILE)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
      continue;
    const AdminPeer peer{.uid = credentials.uid,
                         .admin = is_admin(connection.get(), credentials.uid, credentials.gid)};

    const std::lock_guard lock(mutex_);
    const auto of_user = std::count_if(connections_.begin(), connections_.end(),
                                       [&](auto& entry) { return entry.second == peer.uid; });
    if (connections_.size() >= kMaxConnections ||
        (!peer.admin && of_user >= static_cast<std::ptrdiff_t>(kMaxConnectionsOfUser))) {
      const auto line = dump(error_line({EAGAIN, "too many connections to the daemon; try again"}));
      (void)!::send(connection.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      continue;
    }
    connections_.emplace(connection.get(), peer.uid);
    std::thread([this, peer, moved = std::move(connection)]() mutable {
      converse(std::move(moved), peer);
    }).detach();
  }
}

void AdminSocket::converse(Descriptor connection, const AdminPeer& peer) {
  const int fd = connection.get();
  if (!peer.admin) {
    const timeval idle{.tv_sec = kIdleSeconds, .tv_usec = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
  }
  // A client that does not read must not hold a job for ever.
  const timeval patience{.tv_sec = kIdleSeconds, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);

  LineChannel channel(fd, kMaxRequestBytes);
  while (!stopping_) {
    const auto line = channel.read_line();
    if (!line) {
      if (line.error().code == EMSGSIZE) (void)channel.write(dump(error_line(line.error())));
      break;
    }
    if (!*line) break;  // the client is done
    const auto request = json::parse(**line, nullptr, false);

    auto last = Clock::time_point{};
    std::string items;  // not sent yet
    const auto send_items = [&] {
      const bool sent = items.empty() || channel.write(items).has_value();
      items.clear();
      return sent && !stopping_;
    };
    const AdminProgress progress(
        [&](double share, const std::string& step) {
          if (stopping_) return false;
          const auto now = Clock::now();
          if (now - last < kProgressEvery) return true;
          last = now;
          return send_items() &&
                 channel.write(dump({{"progress", share}, {"step", step}})).has_value();
        },
        [&](const json& item) {
          items += dump({{"item", item}});
          return items.size() < kItemBytes || send_items();
        });
    Result<json> answer = fail(EINVAL, "a request must be one line of JSON");
    if (!request.is_discarded()) answer = service_.handle(request, peer, progress);
    send_items();
    if (!channel.write(
            dump(answer ? json{{"ok", *std::move(answer)}} : error_line(answer.error()))))
      break;
  }
  // Out of the map before the number can be used again, and notified under the lock: after it this
  // object may be gone.
  const std::lock_guard lock(mutex_);
  connections_.erase(fd);
  connection.reset();
  finished_.notify_all();
}

}  // namespace projfs
