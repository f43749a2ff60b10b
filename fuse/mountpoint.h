// SPDX-License-Identifier: MIT
//
// The kernel side of a mount: mount(2), umount2(2) and what is set on a fresh mount. All of it
// costs the same however many mounts there are: nothing here reads the mount table.
#pragma once

#include <cstdint>
#include <string>

#include "projfs/result.h"

namespace projfs::fuse {

struct MountFlags {
  bool read_only = false, allow_suid = false, allow_devices = false;
};

using Device = std::uint64_t;  // st_dev of a mounted file system

// ENOENT, ENOTDIR, ENOTEMPTY, EBUSY (something is mounted there), EINVAL (not absolute).
Status check_mountpoint(const std::string& path);

struct Mounted {
  int fd = -1;  // has the kernel's INIT waiting
  Device device = 0;
};

// Opens /dev/fuse and mounts it.
Result<Mounted> mount_fuse(const std::string& source, const std::string& path, MountFlags flags);

// Raises the readahead to 1 MiB where the system allows it.
void raise_readahead(Device device);

// Which file system is mounted at `path`, without asking that file system.
Result<Device> device_of(const std::string& path);

// Ends the connection of a mount, so that everything in it fails with ENOTCONN, and takes its name
// away if that is still `path`.
void abort_fuse(const std::string& path, Device device);

// EBUSY: in use, and not `detach`. EINVAL: another file system is mounted there (now).
Status unmount_fuse(const std::string& path, Device device, bool detach);

}  // namespace projfs::fuse
