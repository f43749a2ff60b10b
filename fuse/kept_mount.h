// SPDX-License-Identifier: MIT
//
// A mount outlives the process that serves it as long as somebody has its descriptor open: the
// kernel keeps all requests, and lets the applications wait. What another process needs to go on
// serving it, and who keeps the descriptor meanwhile.
#pragma once

#include <cstdint>
#include <string>

#include "fuse/mountpoint.h"
#include "projfs/result.h"

namespace projfs::fuse {

struct KeptMount {
  std::uint64_t connection = 0;  // a random number, by which everybody knows this connection
  std::string id, mountpoint;
  Device device = 0;
  MountFlags flags;
  std::string init;           // the kernel's INIT request, as read
  std::uint64_t granted = 0;  // the flags it was answered with

  [[nodiscard]] std::string encode() const;
  static Result<KeptMount> decode(const std::string& text);
};

// 48 random bits, never 0: short as a name, because the names of all descriptors are handed on in
// one environment variable, which may have 128 KiB.
[[nodiscard]] std::uint64_t random_connection();
// Eight characters that the file system and sd_notify(3) take as a name.
[[nodiscard]] std::string connection_name(std::uint64_t connection);

// Thread safety: everything may be called from several threads.
class Keeper {
 public:
  virtual ~Keeper() = default;
  // From now on the mount survives this process. The descriptor stays the caller's.
  virtual Status keep(const KeptMount& mount, int fd) = 0;
  // The mount is gone, or is not to survive.
  virtual void let_go(std::uint64_t connection) = 0;
};

}  // namespace projfs::fuse
