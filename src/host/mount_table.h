// SPDX-License-Identifier: MIT
//
// Which projects are to be mounted where: a small JSON file in the store's directory, so that a
// restarted daemon mounts again what was mounted before. Replaced as a whole, atomically.
#pragma once

#include <map>
#include <string>

#include "host/mounter.h"
#include "projfs/result.h"

namespace projfs {

struct RememberedMount {
  std::string mountpoint;
  MountOptions options;
  friend bool operator==(const RememberedMount&, const RememberedMount&) = default;
};

using MountTable = std::map<std::string, RememberedMount, std::less<>>;  // by project id

// A file that is not there is an empty table. EIO with a sentence when it cannot be understood.
Result<MountTable> load_mount_table(const std::string& path);
// On return it survives power loss; on error the old file is still there.
Status save_mount_table(const std::string& path, const MountTable& table);

}  // namespace projfs
