// SPDX-License-Identifier: MIT
#include "host/process_memory.h"

#include <fstream>
#include <string>

namespace projfs {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  std::string key;
  std::uint64_t kib = 0;
  std::string rest;
  while (status >> key) {
    if (key == "VmRSS:" && status >> kib) memory.resident_bytes = kib << 10;
    if (key == "VmHWM:" && status >> kib) memory.peak_bytes = kib << 10;
    std::getline(status, rest);
  }
  return memory;
}

}  // namespace projfs
