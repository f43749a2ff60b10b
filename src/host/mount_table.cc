// SPDX-License-Identifier: MIT
#include "host/mount_table.h"

#include <fcntl.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/descriptor.h"

namespace projfs {
namespace {

constexpr int kFormat = 1;

Status write_all(int fd, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    const auto n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("cannot write " + path);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Result<MountTable> load_mount_table(const std::string& path) {
  MountTable table;
  std::ifstream in(path);
  if (!in) {
    if (errno == ENOENT) return table;
    return fail_errno("cannot read the mount table " + path);
  }
  std::stringstream text;
  text << in.rdbuf();

  const auto broken = [&] {
    return fail(EIO, "the mount table " + path +
                         " is damaged; remove it (projects stay, mount them again by hand)");
  };
  const auto json = nlohmann::json::parse(text.str(), nullptr, false);
  try {
    if (json.is_discarded() || json.at("format") != kFormat) return broken();
    for (const auto& entry : json.at("mounts")) {
      RememberedMount& mount = table[entry.at("id").get<std::string>()];
      mount.mountpoint = entry.at("mountpoint").get<std::string>();
      mount.options.read_only = entry.at("read_only").get<bool>();
      mount.options.allow_suid = entry.at("suid").get<bool>();
      mount.options.allow_devices = entry.at("dev").get<bool>();
    }
  } catch (const nlohmann::json::exception&) {
    return broken();
  }
  return table;
}

Status save_mount_table(const std::string& path, const MountTable& table) {
  auto mounts = nlohmann::json::array();
  for (const auto& [id, mount] : table) {
    mounts.push_back({{"id", id},
                      {"mountpoint", mount.mountpoint},
                      {"read_only", mount.options.read_only},
                      {"suid", mount.options.allow_suid},
                      {"dev", mount.options.allow_devices}});
  }
  const nlohmann::json json = {{"format", kFormat}, {"mounts", std::move(mounts)}};
  // A mount point may hold any byte; what is not UTF-8 is refused rather than changed.
  std::string text;
  try {
    text = json.dump() + "\n";
  } catch (const nlohmann::json::exception&) {
    return fail(EINVAL, "a mount point must be valid UTF-8 to be remembered");
  }

  const std::string fresh = path + ".new";
  {
    const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot create " + fresh);
    PROJFS_TRY(write_all(file.get(), text, fresh));
    if (::fsync(file.get()) != 0) return fail_errno("cannot sync " + fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("cannot replace " + path);
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::fsync(dir.get()) != 0) return fail_errno("cannot sync " + directory);
  return {};
}

}  // namespace projfs
