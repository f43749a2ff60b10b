// SPDX-License-Identifier: MIT
#include "support/fake_kernel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace projfs::testing {
namespace {

constexpr int kSocketBuffer = 4 << 20;  // a full WRITE is one message
constexpr std::size_t kLongestMessage = (1 << 20) + 8192;

std::string init_body(std::uint32_t minor, std::uint64_t flags) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = minor;
  in.max_readahead = 128 << 10;
  in.flags = static_cast<std::uint32_t>(flags);
  in.flags2 = static_cast<std::uint32_t>(flags >> 32);
  return packed(in);
}

}  // namespace

FakeKernel::FakeKernel() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    throw std::runtime_error(std::strerror(errno));
  kernel_ = ends[0];
  server_ = ends[1];
  for (const int fd : ends)
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer, sizeof kSocketBuffer) < 0)
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
  ::fcntl(server_, F_SETFL, O_NONBLOCK);
  ::signal(SIGPIPE, SIG_IGN);  // /dev/fuse raises none
}

FakeKernel::~FakeKernel() {
  hang_up();
  if (server_ >= 0) ::close(server_);
}

int FakeKernel::server_end() {
  const int fd = server_;
  server_ = -1;
  return fd;
}

std::string FakeKernel::init_of_linux_6_18() { return init_body(45, 0x5fd73fffffb); }

// Everything up to security contexts and DAX per inode, and no statx.
std::string FakeKernel::init_of_linux_6_1() { return init_body(37, 0x373fffffb); }

std::uint64_t FakeKernel::send(std::uint32_t opcode, std::uint64_t node, std::string_view body,
                               Who who) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.unique = next_unique_;
  header.nodeid = node;
  header.uid = who.uid;
  header.gid = who.gid;
  header.pid = static_cast<std::uint32_t>(::getpid());
  next_unique_ += 2;
  send_bytes(packed(header).append(body));
  return header.unique;
}

void FakeKernel::send_bytes(std::string_view bytes) {
  if (::send(kernel_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error(std::string("fake kernel: send: ") + std::strerror(errno));
}

bool FakeKernel::receive(bool wait) {
  std::string message(kLongestMessage, '\0');
  const ssize_t n = ::recv(kernel_, message.data(), message.size(), wait ? 0 : MSG_DONTWAIT);
  if (n <= 0) return false;
  message.resize(static_cast<std::size_t>(n));
  fuse_out_header header{};
  std::memcpy(&header, message.data(), std::min(message.size(), sizeof header));
  if (message.size() < sizeof header || header.len != message.size())
    throw std::runtime_error("the server wrote a malformed message");
  std::string body = message.substr(sizeof header);
  if (header.unique == 0) {
    notifications_.push_back({header.error, std::move(body)});
  } else if (!answers_.emplace(header.unique, Answer{-header.error, std::move(body)}).second) {
    throw std::runtime_error("the server answered twice");
  }
  return true;
}

FakeKernel::Answer FakeKernel::answer_to(std::uint64_t unique) {
  for (;;) {
    if (const auto it = answers_.find(unique); it != answers_.end()) {
      Answer out = std::move(it->second);
      answers_.erase(it);
      return out;
    }
    if (!receive(true)) throw std::runtime_error("the server has gone without an answer");
  }
}

bool FakeKernel::has_answered(std::uint64_t unique) {
  while (receive(false)) {
  }
  return answers_.contains(unique);
}

std::vector<FakeKernel::Notification> FakeKernel::notifications() {
  return std::exchange(notifications_, {});
}

void FakeKernel::hang_up() {
  if (kernel_ >= 0) ::close(kernel_);
  kernel_ = -1;
}

}  // namespace projfs::testing
