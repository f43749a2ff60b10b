// SPDX-License-Identifier: MIT
//
// Mounts that exist in memory only. A mount point must be an empty directory, as for real ones.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "host/mounter.h"

namespace projfs::testing {

class FakeMounter final : public Mounter {
 public:
  struct Mount {
    std::string mountpoint;
    std::shared_ptr<Volume> volume;
    MountOptions options;
  };

  Status mount(const std::string& id, const std::string& mountpoint, std::shared_ptr<Volume> volume,
               const MountOptions& options) override {
    const std::lock_guard lock(mutex_);
    std::error_code error;
    if (!std::filesystem::exists(mountpoint)) return fail(ENOENT, mountpoint + " is not there");
    if (!std::filesystem::is_directory(mountpoint))
      return fail(ENOTDIR, mountpoint + " is not a directory");
    if (!std::filesystem::is_empty(mountpoint, error))
      return fail(ENOTEMPTY, mountpoint + " is not empty");
    if (mounts.contains(id)) return fail(EBUSY);
    mounts[id] = {mountpoint, std::move(volume), options};
    return {};
  }
  Status unmount(std::string_view id, bool force) override {
    const std::lock_guard lock(mutex_);
    const auto at = mounts.find(id);
    if (at == mounts.end()) return fail(ENOENT);
    if (in_use.contains(id) && !force) return fail(EBUSY);
    mounts.erase(at);
    return {};
  }
  std::optional<std::string> mountpoint(std::string_view id) const override {
    const std::lock_guard lock(mutex_);
    const auto at = mounts.find(id);
    if (at == mounts.end()) return std::nullopt;
    return at->second.mountpoint;
  }
  std::vector<MountFigures> figures() const override {
    const std::lock_guard lock(mutex_);
    std::vector<MountFigures> all;
    for (const auto& [id, mount] : mounts)
      all.push_back({.id = id, .mountpoint = mount.mountpoint});
    return all;
  }
  void invalidate(std::string_view, Ino, std::string_view, Ino) override {}
  void on_unmounted(std::function<void(const std::string& id)> callback) override {
    callback_ = std::move(callback);
  }

  std::vector<Outlived> outlived() const override {
    std::vector<Outlived> all;
    for (const auto& one : left_over) all.push_back(one.mount);
    return all;
  }
  Result<bool> adopt(const std::string& id, std::shared_ptr<Volume> volume) override {
    const std::lock_guard lock(mutex_);
    for (const auto& one : left_over) {
      if (one.mount.id != id) continue;
      if (!volume) return fail(ENOENT);
      PROJFS_TRY(one.outcome);
      if (one.named) mounts[id] = {one.mount.mountpoint, std::move(volume), one.mount.options};
      return one.named;
    }
    return fail(ENOENT);
  }

  // What umount(8) does: the mount ends without our doing.
  void unmount_from_outside(const std::string& id) {
    {
      const std::lock_guard lock(mutex_);
      mounts.erase(id);
    }
    callback_(id);
  }

  struct LeftOver {  // by an earlier daemon
    Outlived mount;
    Status outcome;
    bool named = true;  // is still where it was
  };
  std::vector<LeftOver> left_over;
  std::map<std::string, Mount, std::less<>> mounts;
  std::set<std::string, std::less<>> in_use;  // refuse to be unmounted without force

 private:
  mutable std::mutex mutex_;
  std::function<void(const std::string& id)> callback_;
};

}  // namespace projfs::testing
