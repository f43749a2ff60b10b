// SPDX-License-Identifier: MIT
#include "fuse/mountpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <memory>

namespace projfs::fuse {
namespace {

constexpr unsigned kReadaheadKib = 1024;

Result<struct statx> look_at(const std::string& path) {
  struct statx out {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &out) < 0)
    return fail_errno(path);
  return out;
}

bool is_empty(DIR* dir) {
  while (const dirent* found = ::readdir(dir))
    if (std::strcmp(found->d_name, ".") != 0 && std::strcmp(found->d_name, "..") != 0) return false;
  return true;
}

}  // namespace

Result<Device> device_of(const std::string& path) {
  PROJFS_ASSIGN(const struct statx found, look_at(path));
  return makedev(found.stx_dev_major, found.stx_dev_minor);
}

Status check_mountpoint(const std::string& path) {
  if (path.empty() || path.front() != '/')
    return fail(EINVAL, "a mount point is an absolute path, and \"" + path + "\" is not");
  PROJFS_ASSIGN(const struct statx found, look_at(path));
  if (!S_ISDIR(found.stx_mode)) return fail(ENOTDIR, path + " is not a directory");
  if ((found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
      (found.stx_attributes & STATX_ATTR_MOUNT_ROOT))
    return fail(EBUSY, "something is mounted at " + path + " already");
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return fail_errno(path);
  if (!is_empty(dir.get())) return fail(ENOTEMPTY, path + " is not empty");
  return {};
}

Result<Mounted> mount_fuse(const std::string& source, const std::string& path, MountFlags flags) {
  const int fd = ::open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return fail_errno("/dev/fuse");
  const std::string options = "fd=" + std::to_string(fd) +
                              ",rootmode=40000,user_id=0,group_id=0,allow_other,"
                              "default_permissions";
  unsigned long bits = MS_NOATIME;
  if (flags.read_only) bits |= MS_RDONLY;
  if (!flags.allow_suid) bits |= MS_NOSUID;
  if (!flags.allow_devices) bits |= MS_NODEV;
  if (::mount(source.c_str(), path.c_str(), "fuse.projfs", bits, options.c_str()) < 0) {
    const int error = errno;
    ::close(fd);
    return fail_errno("mounting " + path, error);
  }
  const auto device = device_of(path);
  if (!device) {
    ::umount2(path.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH);
    ::close(fd);
    return tl::unexpected(device.error());
  }
  return Mounted{fd, *device};
}

void raise_readahead(Device device) {
  const std::string path = "/sys/class/bdi/" + std::to_string(major(device)) + ":" +
                           std::to_string(minor(device)) + "/read_ahead_kb";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string value = std::to_string(kReadaheadKib);
  [[maybe_unused]] const auto n = ::write(fd, value.data(), value.size());
  ::close(fd);
}

void abort_fuse(const std::string& path, Device device) {
  const std::string control =
      "/sys/fs/fuse/connections/" + std::to_string(minor(device)) + "/abort";
  if (const int fd = ::open(control.c_str(), O_WRONLY | O_CLOEXEC); fd >= 0) {
    [[maybe_unused]] const auto n = ::write(fd, "1", 1);
    ::close(fd);
  }
  const auto there = device_of(path);
  if (there && *there == device)  // MNT_FORCE ends the connection too, where there is no fusectl
    ::umount2(path.c_str(), UMOUNT_NOFOLLOW | MNT_FORCE | MNT_DETACH);
}

Status unmount_fuse(const std::string& path, Device device, bool detach) {
  const auto there = device_of(path);
  if (!there) return tl::unexpected(there.error());
  if (*there != device) return fail(EINVAL, "another file system is mounted at " + path);
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) < 0) {
    if (errno == EBUSY) return fail(EBUSY, path + " is in use");
    return fail_errno("unmounting " + path);
  }
  return {};
}

}  // namespace projfs::fuse
