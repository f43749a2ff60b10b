// SPDX-License-Identifier: MIT
#include "host/line_channel.h"

#include <sys/socket.h>
#include <array>

namespace projfs {

Result<std::optional<std::string>> LineChannel::read_line() {
  std::size_t searched = 0;
  for (;;) {
    const auto end = pending_.find('\n', searched);
    if (end != std::string::npos && end <= max_line_) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return std::optional(std::move(line));
    }
    if (pending_.size() > max_line_)
      return fail(EMSGSIZE, "a line is longer than " + std::to_string(max_line_) + " bytes");
    searched = pending_.size();
    std::array<char, 16384> buffer;
    const auto n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading from the socket");
    if (n == 0) return std::optional<std::string>();
    pending_.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Status LineChannel::write(std::string_view data) {
  while (!data.empty()) {
    const auto n = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("writing to the socket");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace projfs
