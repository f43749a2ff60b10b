// SPDX-License-Identifier: MIT
//
// libFuzzer target: whatever bytes arrive, they are refused or decode to messages that encode and
// decode to themselves. The first byte below 0xf0 is the type of a message, and the rest its body,
// so that the checksum of frames does not stand in the way; else the rest is a stream of frames,
// after the greeting if the byte is odd.
#include <algorithm>
#include <cstdlib>

#include "projfs/bytes.h"
#include "replicate/frame.h"

namespace {

using namespace projfs;
using namespace projfs::replicate;

void require(bool fine) {
  if (!fine) std::abort();
}

void body(std::uint8_t type, std::string_view bytes) {
  const auto message = decode(type, bytes);
  if (!message) return require(message.error().code == EBADMSG);
  require(type_of(*message) == type);
  const auto again = decode(type, encode(*message));
  require(again && *again == *message);
}

void stream(bool greeted, std::string_view bytes) {
  FrameReader reader;
  if (greeted) reader.greeted();
  while (!bytes.empty()) {
    const auto n = std::min(bytes.size(), reader.missing());
    if (n == 0) break;
    reader.feed(bytes.substr(0, n));
    bytes.remove_prefix(n);
    const auto frame = reader.next();
    if (!frame) {
      require(frame.error().code == EBADMSG && reader.missing() == 0);
      return;
    }
    if (!*frame) continue;
    FrameReader second;
    second.greeted();
    second.feed(encode_frame(**frame));
    const auto again = second.next();
    require(again && *again && (*again)->message == (*frame)->message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto rest = as_view(Bytes(data + 1, size - 1));
  if (data[0] < 0xf0) {
    body(data[0], rest);
  } else {
    stream((data[0] & 1) != 0, rest);
  }
  return 0;
}
