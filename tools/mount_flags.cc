// SPDX-License-Identifier: MIT
#include "mount_flags.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <algorithm>
#include <array>

namespace projfs {
namespace {

// For others to read (mount(8), systemd), or what every projfs mount does anyway.
constexpr std::array<std::string_view, 21> kMeaningless = {"defaults",
                                                           "auto",
                                                           "noauto",
                                                           "nofail",
                                                           "_netdev",
                                                           "user",
                                                           "nouser",
                                                           "users",
                                                           "owner",
                                                           "group",
                                                           "async",
                                                           "noatime",
                                                           "nodiratime",
                                                           "relatime",
                                                           "norelatime",
                                                           "atime",
                                                           "lazytime",
                                                           "allow_other",
                                                           "default_permissions",
                                                           "nolazytime",
                                                           "strictatime"};

// The same with a value. The last four are what the kernel shows of a mount, and a remount repeats.
constexpr std::array<std::string_view, 10> kMeaninglessPrefixes = {
    "x-",       "X-",       "comment=",  "source=",   "fsname=",
    "subtype=", "user_id=", "group_id=", "rootmode=", "max_read="};

bool is_meaningless(std::string_view option) {
  for (const auto prefix : kMeaninglessPrefixes) {
    if (option.starts_with(prefix)) return true;
  }
  return option.empty() ||
         std::find(kMeaningless.begin(), kMeaningless.end(), option) != kMeaningless.end();
}

}  // namespace

Result<MountFlags> parse_mount_flags(std::string_view text, bool sloppy) {
  MountFlags flags;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    const auto option = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (option == "ro") {
      flags.options.read_only = true;
    } else if (option == "rw") {
      flags.options.read_only = false;
    } else if (option == "suid" || option == "nosuid") {
      flags.options.allow_suid = option == "suid";
    } else if (option == "dev" || option == "nodev") {
      flags.options.allow_devices = option == "dev";
    } else if (option == "exec" || option == "noexec") {
      flags.no_exec = option == "noexec";
    } else if (option == "remount") {
      flags.remount = true;
    } else if (!is_meaningless(option) && !sloppy) {
      return fail(EINVAL, "unknown mount option '" + std::string(option) +
                              "'; mount.projfs(8) lists those there are");
    }
  }
  return flags;
}

Status apply_mount_flags(const std::string& mountpoint, const MountFlags& flags) {
  if (!flags.no_exec && !flags.remount) return {};
  struct statvfs now {};
  if (::statvfs(mountpoint.c_str(), &now) != 0) return fail_errno("cannot ask " + mountpoint);
  unsigned long wanted = MS_REMOUNT;
  if (flags.no_exec) wanted |= MS_NOEXEC;
  if (flags.remount) {
    if (!flags.options.allow_suid) wanted |= MS_NOSUID;
    if (!flags.options.allow_devices) wanted |= MS_NODEV;
    if (flags.options.read_only) wanted |= MS_RDONLY;
  } else {
    wanted |= MS_BIND;  // this mount only, all else as it is
    if ((now.f_flag & ST_RDONLY) != 0) wanted |= MS_RDONLY;
    if ((now.f_flag & ST_NOSUID) != 0) wanted |= MS_NOSUID;
    if ((now.f_flag & ST_NODEV) != 0) wanted |= MS_NODEV;
  }
  if (::mount(nullptr, mountpoint.c_str(), nullptr, wanted, nullptr) != 0)
    return fail_errno("cannot set the mount's flags at " + mountpoint);
  return {};
}

}  // namespace projfs
