// SPDX-License-Identifier: MIT
//
// A raw request as read from /dev/fuse. The kernel is trusted to be the kernel, but a request that
// is shorter than its kind demands must never be decoded: libfuse does not look.
#pragma once

#include "fuse/protocol.h"
#include "projfs/bytes.h"

namespace projfs::fuse {

class Request {
 public:
  Request() = default;
  explicit Request(Bytes raw) : raw_(raw) {}

  // True when the header is there and says the truth about the length.
  [[nodiscard]] bool has_header() const;
  // True when the arguments are as long as the operation demands and its names end in the buffer.
  // Operations unknown here are well-formed: whoever answers them looks.
  [[nodiscard]] bool well_formed() const;

  // REQUIRES: has_header().
  [[nodiscard]] const fuse_in_header& header() const {
    return *reinterpret_cast<const fuse_in_header*>(raw_.data());
  }
  [[nodiscard]] std::uint32_t opcode() const { return header().opcode; }
  [[nodiscard]] Bytes body() const { return raw_.subspan(sizeof(fuse_in_header)); }
  [[nodiscard]] Bytes raw() const { return raw_; }

  // The fixed arguments. REQUIRES: well_formed(), and T is what this operation carries.
  template <class T>
  [[nodiscard]] const T& argument() const {
    return *reinterpret_cast<const T*>(body().data());
  }
  // Whether carrying it out may wait for a disk, so that another thread should take over polling.
  [[nodiscard]] bool may_wait() const;

 private:
  Bytes raw_;
};

}  // namespace projfs::fuse
