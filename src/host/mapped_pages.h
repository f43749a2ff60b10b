// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace projfs {

// Pages that a program mapped and changed are in the kernel only, not in the volume yet: has the
// kernel write them. Never from inside a request of that mount. What fails is logged.
void flush_mapped_pages(const std::string& mountpoint);

}  // namespace projfs
