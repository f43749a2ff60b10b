// SPDX-License-Identifier: MIT
//
// What this process takes of memory, as the kernel counts it.
#pragma once

#include <cstdint>

namespace projfs {

struct ProcessMemory {
  std::uint64_t resident_bytes = 0;
  std::uint64_t peak_bytes = 0;
};
// Zeros where /proc is not there.
ProcessMemory process_memory();

}  // namespace projfs
