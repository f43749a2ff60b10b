// SPDX-License-Identifier: MIT
//
// Dropping set-id bits. With HANDLE_KILLPRIV_V2 the kernel leaves it to us, tells us so for WRITE
// and for truncation only, and does not expect the mode that it has cached to change under a write.
#pragma once

#include "fuse/channel.h"
#include "projfs/volume.h"

namespace projfs::fuse {

// Whether changing the data of `ino` as an unprivileged user would change its mode.
bool loses_set_id(Volume& volume, Ino ino);

// After fallocate or copy_file_range by `uid`, which carry no flag: drops what must go.
Status drop_set_id(Channel& channel, Ino ino, std::uint32_t uid);

}  // namespace projfs::fuse
