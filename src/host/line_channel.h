// SPDX-License-Identifier: MIT
//
// Lines over a connected socket, with a limit to their length.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "projfs/result.h"

namespace projfs {

class LineChannel {
 public:
  // Does not own the descriptor. `max_line`: longer lines read are refused with EMSGSIZE.
  LineChannel(int fd, std::size_t max_line) : fd_(fd), max_line_(max_line) {}

  // The next line without its end; nullopt when the other side has closed.
  Result<std::optional<std::string>> read_line();
  // All of `data`. EPIPE when the other side is gone (no signal).
  Status write(std::string_view data);

 private:
  int fd_;
  std::size_t max_line_;
  std::string pending_;
};

}  // namespace projfs
