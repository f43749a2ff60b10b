// SPDX-License-Identifier: MIT
#include "host/mount_users.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

namespace projfs {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kNamed = 8;

struct Device {
  unsigned major = 0, minor = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

// Without asking the file system: its daemon is who asks here.
std::optional<Device> device_of(const fs::path& path) {
  struct statx found {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &found) < 0)
    return std::nullopt;
  return Device{found.stx_dev_major, found.stx_dev_minor};
}

bool maps_of(const fs::path& process, const Device& device) {
  std::array<char, 32> wanted{};
  std::snprintf(wanted.data(), wanted.size(), " %02x:%02x ", device.major, device.minor);
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(wanted.data()) != line.npos) return true;
  }
  return false;
}

bool uses(const fs::path& process, const Device& device) {
  for (const auto* link : {"cwd", "root", "exe"}) {
    if (device_of(process / link) == device) return true;
  }
  std::error_code gone;
  for (fs::directory_iterator at(process / "fd", gone), end; !gone && at != end;
       at.increment(gone)) {
    if (device_of(at->path()) == device) return true;
  }
  return maps_of(process, device);
}

std::string user_of(const fs::path& process) {
  struct stat info {};
  if (::stat(process.c_str(), &info) != 0) return "?";
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(info.st_uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found)
    return entry.pw_name;
  return std::to_string(info.st_uid);
}

std::string command_of(const fs::path& process) {
  std::ifstream in(process / "comm");
  std::string command;
  std::getline(in, command);
  return command.empty() ? "?" : command;
}

}  // namespace

std::vector<MountUser> users_of_mount(const std::string& mountpoint) {
  std::vector<MountUser> users;
  const auto device = device_of(mountpoint);
  if (!device) return users;
  std::error_code error;
  for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename().string();
    if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
      continue;
    const auto pid = static_cast<pid_t>(std::stol(name));
    if (pid == ::getpid() || !uses(at->path(), *device)) continue;
    users.push_back({pid, command_of(at->path()), user_of(at->path())});
  }
  std::sort(users.begin(), users.end(),
            [](const MountUser& a, const MountUser& b) { return a.pid < b.pid; });
  return users;
}

std::string describe(const std::vector<MountUser>& users) {
  std::string out;
  for (std::size_t i = 0; i < std::min(users.size(), kNamed); ++i) {
    out += (i == 0 ? "" : ", ") + std::to_string(users[i].pid) + " " + users[i].command + " (" +
           users[i].user + ")";
  }
  if (users.size() > kNamed) out += " and " + std::to_string(users.size() - kNamed) + " more";
  return out;
}

}  // namespace projfs
