// SPDX-License-Identifier: MIT
//
// Plays the kernel's side of /dev/fuse over a socket pair, so that the FUSE edge is tested without
// root and without a mount: one message is one request, one answer or one notification.
//
// Not thread-safe, but several of them may be used from several threads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/protocol.h"

namespace projfs::testing {

template <class T>
std::string packed(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// A name as the protocol carries it.
inline std::string zero_ended(std::string_view name) { return std::string(name) + '\0'; }

class FakeKernel {
 public:
  struct Answer {
    int error = 0;  // positive errno, or 0
    std::string body;

    template <class T>
    [[nodiscard]] T as(std::size_t at = 0) const {
      T out{};
      if (at < body.size())
        body.copy(reinterpret_cast<char*>(&out), std::min(sizeof out, body.size() - at), at);
      return out;
    }
  };
  struct Notification {
    int code = 0;
    std::string body;
  };
  struct Who {
    std::uint32_t uid = 0, gid = 0;
  };

  FakeKernel();
  ~FakeKernel();
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  // The descriptor to serve; whoever takes it owns it. Once.
  int server_end();

  // What Linux 6.18 offers, and what Linux 6.1 (protocol 7.37) does.
  static std::string init_of_linux_6_18();
  static std::string init_of_linux_6_1();

  // Sends a request and returns its number. Requests are numbered as the kernel does, by twos.
  std::uint64_t send(std::uint32_t opcode, std::uint64_t node, std::string_view body, Who who);
  std::uint64_t send(std::uint32_t opcode, std::uint64_t node, std::string_view body = {}) {
    return send(opcode, node, body, Who{});
  }
  void send_bytes(std::string_view bytes);
  // Waits for the answer to a request; keeps other answers and notifications for later.
  Answer answer_to(std::uint64_t unique);
  Answer call(std::uint32_t opcode, std::uint64_t node, std::string_view body, Who who) {
    return answer_to(send(opcode, node, body, who));
  }
  Answer call(std::uint32_t opcode, std::uint64_t node, std::string_view body = {}) {
    return call(opcode, node, body, Who{});
  }
  // Whether the answer to a request is there already.
  bool has_answered(std::uint64_t unique);
  // All notifications since the last call that came before an answer received.
  std::vector<Notification> notifications();

  void hang_up();

 private:
  // False: nothing there, and `wait` is false; or the server has gone.
  bool receive(bool wait);

  int kernel_ = -1, server_ = -1;
  std::uint64_t next_unique_ = 2;
  std::map<std::uint64_t, Answer> answers_;
  std::vector<Notification> notifications_;
};

}  // namespace projfs::testing
