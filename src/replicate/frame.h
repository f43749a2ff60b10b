// SPDX-License-Identifier: MIT
//
// Messages in a stream of bytes. A connection carries the rounds of many projects at once; the
// stream's number in each frame says to which one it belongs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replicate/message.h"

namespace projfs::replicate {

inline constexpr std::size_t kFrameHeader = 20;
inline constexpr std::uint32_t kWholeConnection = 0;  // the stream of what concerns no project

struct Frame {
  std::uint32_t stream = kWholeConnection;
  Message message;
};

[[nodiscard]] std::string encode_frame(const Frame& frame);

// Takes frames out of the bytes that arrive. What a header announces is judged before room is made
// for it; before greeted() only a Hello or a Refusal is let in.
class FrameReader {
 public:
  // The other side is known: every message may come.
  void greeted() { greeted_ = true; }

  void feed(std::string_view bytes) { pending_.append(bytes); }
  // The next frame; nullopt: it is not all here yet. EBADMSG: the stream is worthless from now on,
  // and every later call says the same.
  Result<std::optional<Frame>> next();
  // How many bytes are missing until next() can say more: what to read at the most.
  [[nodiscard]] std::size_t missing() const;

 private:
  struct Header {
    std::uint8_t type = 0;
    std::uint32_t length = 0, stream = 0;
    std::uint64_t checksum = 0;
  };
  [[nodiscard]] Result<Header> header() const;
  Result<std::optional<Frame>> next_checked();

  bool greeted_ = false;
  std::optional<Error> failed_;
  std::string pending_;
};

}  // namespace projfs::replicate
