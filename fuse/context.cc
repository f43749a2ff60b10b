// SPDX-License-Identifier: MIT
#include "fuse/context.h"

#include <new>

namespace projfs::fuse {

Buffers::Buffers(std::uint32_t slot) : slot_(slot) {
  void* memory = ::mmap(nullptr, kRequest + kMaxTransfer, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<std::uint8_t*>(memory);
}

Buffers::~Buffers() { ::munmap(base_, kRequest + kMaxTransfer); }

void Buffers::populate() const { ::madvise(base_, kRequest, MADV_POPULATE_WRITE); }

Context& context() {
  static thread_local Context current;
  return current;
}

}  // namespace projfs::fuse
