// SPDX-License-Identifier: MIT
//
// The other side of sd_notify(3): what a program tells whoever started it, and the descriptors that
// it gives to be kept.
#pragma once

#include <sys/types.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/descriptor.h"
#include "projfs/result.h"

namespace projfs {

class NotifySocket {
 public:
  struct Message {
    bool ready = false, watchdog = false;
  };
  struct Kept {
    std::string name;
    Descriptor fd;
  };

  static Result<NotifySocket> open();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // For $NOTIFY_SOCKET.
  [[nodiscard]] const std::string& address() const { return address_; }

  // Reads one message if there is one; descriptors are kept or let go as it says. What comes from
  // other processes than `from` is passed over.
  std::optional<Message> receive(pid_t from);

  [[nodiscard]] const std::vector<Kept>& kept() const { return kept_; }

 private:
  void obey(std::string_view text, std::vector<Descriptor> fds, Message& out);

  Descriptor fd_;
  std::string address_;
  std::vector<Kept> kept_;
};

// For a child that is to become another program: puts the kept descriptors where sd_listen_fds(3)
// looks for them and says so in the environment. Errno on failure.
int hand_descriptors_on(const std::vector<NotifySocket::Kept>& kept);

}  // namespace projfs
