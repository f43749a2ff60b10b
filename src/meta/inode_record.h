// SPDX-License-Identifier: MIT
//
// The inode record, and its encoding.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "projfs/stage.h"
#include "projfs/volume.h"

namespace projfs::meta {

struct InodeRecord {
  enum Flag : std::uint32_t {
    kSparse = 1,     // some block below the end may be a hole, or some beyond it allocated
    kHasXattrs = 2,  // the flags on xattrs spare look-ups that would find nothing
    kAccessAcl = 4,
    kDefaultAcl = 8,
    kCapability = 16,  // security.capability
    kManyNames = 32,   // has had several: its names are in records of their own (Kind::kName)
  };

  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t flags = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;       // directories: 0
  std::uint64_t allocated = 0;  // bytes, a multiple of kBlock
  std::uint64_t entries = 0;    // of a directory, without "." and ".."
  // Where its name is, unless kManyNames: the directory, and the hash by which that is ordered.
  // Means nothing without a link, nor for the root, which is its own parent.
  Ino parent = 0;
  std::uint64_t name_hash = 0;
  timespec atime{}, mtime{}, ctime{}, btime{};
  std::string target;  // of a symlink

  // Staged records up to here are in the extents, size and allocated of this record.
  StageSeq data_floor = 0;
  // Staged records up to here no longer change times and mode: they were set after them.
  StageSeq attr_floor = 0;

  [[nodiscard]] std::string encode() const;
  static std::optional<InodeRecord> decode(std::string_view data);
  friend bool operator==(const InodeRecord&, const InodeRecord&);
};

}  // namespace projfs::meta
