// SPDX-License-Identifier: MIT
//
// The FUSE wire protocol: linux/fuse.h, plus what newer kernels send and the header of protocol
// 7.38 (Debian 12) does not name yet.
#pragma once

#include <linux/fuse.h>
#include <cstdint>

namespace projfs::fuse {

inline constexpr std::uint32_t kOpStatx = 52;            // 7.39, Linux 6.6
inline constexpr std::uint32_t kOpCopyFileRange64 = 53;  // 7.45, Linux 6.18

struct StatxIn {
  std::uint32_t getattr_flags, reserved;
  std::uint64_t fh;
  std::uint32_t sx_flags, sx_mask;
};

struct StatxTime {
  std::int64_t tv_sec;
  std::uint32_t tv_nsec;
  std::int32_t reserved;
};

struct StatxOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec, flags;
  std::uint64_t spare[2];
  std::uint32_t mask, blksize;
  std::uint64_t attributes;
  std::uint32_t nlink, uid, gid;
  std::uint16_t mode, spare0;
  std::uint64_t ino, size, blocks, attributes_mask;
  StatxTime atime, btime, ctime, mtime;
  std::uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  std::uint64_t spare2[14];
};
static_assert(sizeof(StatxOut) == 288);

struct CopyFileRangeOut64 {
  std::uint64_t bytes_copied;
};

}  // namespace projfs::fuse
