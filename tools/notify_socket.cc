// SPDX-License-Identifier: MIT
#include "notify_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace projfs {
namespace {

constexpr std::size_t kLongestMessage = 4096;
constexpr std::size_t kMostDescriptors = 253;  // of one message (SCM_MAX_FD)

struct Received {
  std::string text;
  pid_t from = 0;
  std::vector<Descriptor> fds;
};

std::optional<Received> read_message(int socket) {
  std::array<char, kLongestMessage> text;
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE(sizeof(int) * kMostDescriptors) + CMSG_SPACE(sizeof(ucred))>
          control;
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return std::nullopt;
  Received out;
  out.text.assign(text.data(), static_cast<std::size_t>(n));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred who{};
      std::memcpy(&who, CMSG_DATA(c), sizeof who);
      out.from = who.pid;
    } else if (c->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        out.fds.emplace_back(fd);
      }
    }
  }
  return out;
}

}  // namespace

Result<NotifySocket> NotifySocket::open() {
  NotifySocket made;
  made.fd_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!made.fd_) return fail_errno("cannot make a socket");
  const int yes = 1;
  if (::setsockopt(made.fd(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
    return fail_errno("cannot ask for credentials");
  // Without a path the kernel finds an abstract name that is free.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t length = sizeof address.sun_family;
  if (::bind(made.fd(), reinterpret_cast<sockaddr*>(&address), length) != 0)
    return fail_errno("cannot bind a socket");
  length = sizeof address;
  if (::getsockname(made.fd(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return fail_errno("cannot name a socket");
  const auto path = length - offsetof(sockaddr_un, sun_path);
  made.address_ = "@" + std::string(address.sun_path + 1, path - 1);
  return made;
}

std::optional<NotifySocket::Message> NotifySocket::receive(pid_t from) {
  auto received = read_message(fd_.get());
  if (!received) return std::nullopt;
  Message out;
  if (received->from == from) obey(received->text, std::move(received->fds), out);
  return out;
}

void NotifySocket::obey(std::string_view text, std::vector<Descriptor> fds, Message& out) {
  bool keep = false, remove = false;
  std::string name = "stored";  // as systemd calls them
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line == "READY=1") out.ready = true;
    if (line == "WATCHDOG=1") out.watchdog = true;
    if (line == "FDSTORE=1") keep = true;
    if (line == "FDSTOREREMOVE=1") remove = true;
    if (line.starts_with("FDNAME=")) name = line.substr(7);
  }
  if (keep) {
    for (auto& fd : fds) kept_.push_back({name, std::move(fd)});
  } else if (remove) {
    std::erase_if(kept_, [&](const Kept& kept) { return kept.name == name; });
  }
}

int hand_descriptors_on(const std::vector<NotifySocket::Kept>& kept) {
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) ::unsetenv(name);
  if (kept.empty()) return 0;
  // Out of the way first: one may be where another has to go.
  const int end = SD_LISTEN_FDS_START + static_cast<int>(kept.size());
  std::vector<int> moved;
  std::string names;
  for (const auto& one : kept) {
    moved.push_back(::fcntl(one.fd.get(), F_DUPFD_CLOEXEC, end));
    if (moved.back() < 0) return errno;
    if (!names.empty()) names += ':';
    names += one.name;
  }
  for (std::size_t i = 0; i < moved.size(); ++i) {
    if (::dup2(moved[i], SD_LISTEN_FDS_START + static_cast<int>(i)) < 0) return errno;
  }
  ::setenv("LISTEN_FDS", std::to_string(kept.size()).c_str(), 1);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
  return 0;
}

}  // namespace projfs
