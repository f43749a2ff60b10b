// SPDX-License-Identifier: MIT
//
// Answers in the kernel's own structures, for requests that libfuse does not answer.
#pragma once

#include <cstdint>
#include <type_traits>

#include "fuse/answer.h"

namespace projfs::fuse {

template <class T>
Bytes bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

struct Timeout {
  std::uint64_t seconds;
  std::uint32_t nanoseconds;
};
Timeout split(double timeout_s);

fuse_attr to_wire(const Attr& attr);

struct NewOpenFile {  // what CREATE and TMPFILE answer
  fuse_entry_out entry;
  fuse_open_out open;
};
// A regular file that the directory of this thread's request has no name for.
NewOpenFile unnamed_file(const Attr& attr);

// Runs `body`, which returns a Result of the reply's payload or a Status.
template <class Body>
void answer_raw(Channel& channel, const Request& request, Body&& body) {
  const auto result = guarded(std::forward<Body>(body));
  if (!result) {
    channel.reply_error(request, report(result.error()));
  } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(result)>, Status>) {
    channel.reply(request, {});
  } else {
    channel.reply(request, bytes_of(*result));
  }
}

}  // namespace projfs::fuse
