// SPDX-License-Identifier: MIT
//
// Copying by reference from another view of the same project, for instance a snapshot: what such a
// view gives, and what the head takes. Volumes that can do it are these as well.
#pragma once

#include <cstdint>
#include <functional>

#include "fs/file_map.h"
#include "projfs/volume.h"

namespace projfs::fs {

class ExtentSource {
 public:
  virtual ~ExtentSource() = default;
  // Visits what is not a hole of [begin, end) in order, until `visit` returns false, then calls
  // `use` with the size of the file; until that returns, what was visited stays referenced. False,
  // without a call of `use`: not all of the file is in the index yet.
  virtual Result<bool> with_extents(Ino ino, std::uint64_t begin, std::uint64_t end,
                                    const PieceVisitor& visit,
                                    const std::function<Status(std::uint64_t size)>& use) = 0;
};

class ExtentTarget {
 public:
  virtual ~ExtentTarget() = default;
  // As Volume::copy_range(), from a file of `source`. EXDEV: it has to be copied as bytes.
  virtual Result<std::uint64_t> copy_in(ExtentSource& source, Ino from, std::uint64_t from_offset,
                                        Ino to, std::uint64_t to_offset, std::uint64_t length) = 0;
};

}  // namespace projfs::fs
