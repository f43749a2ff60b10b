// SPDX-License-Identifier: MIT
//
// A directory entry's payload, and the order of a directory.
#pragma once

#include <xxhash.h>
#include <string_view>

#include "meta/keys.h"
#include "projfs/bytes.h"
#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs::fs {

struct Entry {
  Ino ino = 0;
  std::uint32_t type = 0;  // S_IFMT bits
  meta::Epoch born = 0;    // of the record, where it was looked up; spares looking again
};

inline Result<Entry> parse_entry(std::string_view payload) {
  Reader in(payload);
  Entry e;
  e.ino = in.varint();
  e.type = static_cast<std::uint32_t>(in.u8()) << 12;
  if (!in.done()) return fail(EIO, "a directory entry does not decode");
  return e;
}

// The order of a directory: a hash that only this project knows, so that nobody can make names
// collide. 0 to 3 are the cookies of the start and of the dot entries; the top bit stays clear
// because offsets are signed.
inline std::uint64_t name_hash(std::uint64_t seed, std::string_view name) {
  const auto h = XXH3_64bits_withSeed(name.data(), name.size(), seed) >> 1;
  return h < 4 ? h + 4 : h;
}

}  // namespace projfs::fs
