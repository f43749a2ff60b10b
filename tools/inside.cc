// SPDX-License-Identifier: MIT
#include "inside.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <tuple>

#include "host/text.h"
#include "projfs/node_id.h"

namespace projfs {
namespace {

using nlohmann::json;

constexpr const char* kStatus = "user.projfs.status";
constexpr const char* kSnapshot = "user.projfs.snapshot";

Result<std::string> attribute(const std::string& path, const char* name) {
  std::string value(XATTR_SIZE_MAX, '\0');
  const auto length = ::getxattr(path.c_str(), name, value.data(), value.size());
  if (length < 0) return fail_errno(path);
  value.resize(static_cast<std::size_t>(length));
  return value;
}

Result<json> document(const std::string& path, const char* name) {
  PROJFS_ASSIGN(const auto text, attribute(path, name));
  auto parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded())
    return fail(EPROTO, path + ": the daemon's answer is no JSON; is it of another version?");
  return parsed;
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string shown_time(const timespec& t) {
  return rfc3339(static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec);
}

}  // namespace

Result<json> status_at(const std::string& directory) {
  auto status = document(directory, kStatus);
  if (!status && (status.error().code == ENODATA || status.error().code == EOPNOTSUPP))
    return fail(ENOENT, directory + " is not inside a project; change to a directory of one");
  return status;
}

Result<Place> find_place(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path whole = fs::absolute(path, error);
  if (path.empty() || error) return fail(EINVAL, "'" + path + "' is no path");
  while (!whole.has_filename() && whole.has_relative_path()) whole = whole.parent_path();
  if (whole.filename() == "." || whole.filename() == "..") {
    whole = fs::canonical(whole, error);
    if (error) return fail(error.value(), path + ": " + error.message());
  }
  fs::path directory = whole.parent_path(), rest = whole.filename();
  while (!is_directory(directory.string()) && directory.has_relative_path()) {
    rest = directory.filename() / rest;
    directory = directory.parent_path();
  }
  for (const auto& part : rest) {
    if (part == "..") return fail(EINVAL, path + " leads through '..' of what is not there");
  }
  const auto status = status_at(directory.string());
  if (!status && is_directory(whole.string()) && status_at(whole.string())) {
    return fail(EINVAL, path +
                            " is the project as a whole; name something inside it ("
                            "'projfs-admin snapshot rollback' takes a whole project back)");
  }
  if (!status) return tl::unexpected(status.error());
  if (!is_directory((directory / kSnapshotsName).string()))
    return fail(EINVAL, path + " is inside a snapshot; name the path in the project itself");
  return Place{directory.string(), rest.string()};
}

Result<std::vector<std::string>> snapshot_names(const std::string& directory) {
  const std::string all = directory + "/" + std::string(kSnapshotsName);
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(all.c_str()), ::closedir);
  if (!open) return fail_errno(all);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return fail_errno(all);
  return names;
}

Result<json> snapshot_at(const std::string& directory, const std::string& name) {
  return document(directory + "/" + std::string(kSnapshotsName) + "/" + name, kSnapshot);
}

Result<json> versions_of(const Place& place) {
  PROJFS_ASSIGN(const auto names, snapshot_names(place.directory));
  auto versions = json::array();
  std::set<std::tuple<std::uint64_t, std::int64_t, std::int64_t, std::int64_t>> seen;
  const auto add = [&](const std::string& path, const json& snapshot) -> Status {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
      // Not there at that time, or the snapshot has just been deleted.
      if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE) return {};
      return fail_errno(path);
    }
    const auto inode = NodeId::inode(info.st_ino);
    if (!seen.emplace(inode, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec).second)
      return {};
    versions.push_back({{"snapshot", snapshot},
                        {"mtime", shown_time(info.st_mtim)},
                        {"size", info.st_size},
                        {"inode", inode}});
    return {};
  };
  PROJFS_TRY(add(place.now(), nullptr));
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    PROJFS_TRY(add(place.in(*name), *name));
  return versions;
}

}  // namespace projfs
