// SPDX-License-Identifier: MIT
//
// The options of mount(8) as they concern a projfs mount.
#pragma once

#include <string>
#include <string_view>

#include "host/mounter.h"
#include "projfs/result.h"

namespace projfs {

struct MountFlags {
  MountOptions options;
  bool no_exec = false;
  bool remount = false;
};

// "ro,nosuid,..."; later ones win. Options that mean nothing here but are common in fstab are
// taken; unknown ones are refused with EINVAL and a sentence, unless `sloppy`.
Result<MountFlags> parse_mount_flags(std::string_view text, bool sloppy);

// What the daemon does not do: noexec, and all flags when remounting. Needs root.
Status apply_mount_flags(const std::string& mountpoint, const MountFlags& flags);

}  // namespace projfs
