// SPDX-License-Identifier: MIT
#include "host/host_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <climits>
#include <memory>

#include "host/descriptor.h"

namespace projfs {
namespace {
constexpr std::size_t kMaxAttribute = 64 << 10;  // the kernel has no longer ones
}  // namespace

Result<std::vector<std::string>> host_names(int dir) {
  // fdopendir() takes the descriptor over: give it its own, at the start of the directory.
  const int own = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
  const int fd = own >= 0 ? own : ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno("cannot list it");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), &::closedir);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const auto* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail_errno("cannot list it");
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> host_link_target(const HostEntry& entry) {
  std::array<char, PATH_MAX> target;
  const auto n = ::readlinkat(entry.dir, entry.name.c_str(), target.data(), target.size());
  if (n < 0) return fail_errno("cannot read the link");
  return std::string(target.data(), static_cast<std::size_t>(n));
}

Result<std::map<std::string, std::string>> host_attributes(const HostEntry& entry) {
  std::map<std::string, std::string> attributes;
  const std::string path = entry.path();
  std::string names(1024, '\0');
  ssize_t n = 0;
  while ((n = ::llistxattr(path.c_str(), names.data(), names.size())) < 0) {
    if (errno == ENOTSUP) return attributes;
    if (errno != ERANGE) return fail_errno("cannot list its attributes");
    names.resize(names.size() * 2);
  }
  names.resize(static_cast<std::size_t>(n));
  for (std::size_t at = 0; at < names.size();
       at += std::char_traits<char>::length(&names[at]) + 1) {
    const char* name = &names[at];
    std::string value(kMaxAttribute, '\0');
    const auto length = ::lgetxattr(path.c_str(), name, value.data(), value.size());
    // Removed meanwhile, or shown by the file system but not to be read.
    if (length < 0 && (errno == ENODATA || errno == ENOTSUP)) continue;
    if (length < 0) return fail_errno(std::string("cannot read its attribute ") + name);
    value.resize(static_cast<std::size_t>(length));
    attributes.emplace(name, std::move(value));
  }
  return attributes;
}

CopyProgress count_host_tree(int dir, std::optional<dev_t> skip_device) {
  CopyProgress totals;
  const auto names = host_names(dir);
  if (!names) return totals;
  for (const auto& name : *names) {
    struct stat info {};
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    ++totals.files_total;
    if (S_ISREG(info.st_mode))
      totals.bytes_total +=
          std::min<std::uint64_t>(static_cast<std::uint64_t>(info.st_size),
                                  static_cast<std::uint64_t>(info.st_blocks) * 512);
    if (!S_ISDIR(info.st_mode) || (skip_device && info.st_dev == *skip_device)) continue;
    const Descriptor below(
        ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) continue;
    const auto more = count_host_tree(below.get(), skip_device);
    totals.files_total += more.files_total;
    totals.bytes_total += more.bytes_total;
  }
  return totals;
}

}  // namespace projfs
