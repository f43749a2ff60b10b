// SPDX-License-Identifier: MIT
#include "host/mapped_pages.h"

#include <fcntl.h>
#include <unistd.h>

#include "host/descriptor.h"
#include "projfs/log.h"

namespace projfs {

void flush_mapped_pages(const std::string& mountpoint) {
  const Descriptor root(::open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::syncfs(root.get()) != 0)
    log::warn("{}: cannot flush mapped pages: {}", mountpoint,
              std::generic_category().message(errno));
}

}  // namespace projfs
