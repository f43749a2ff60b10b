// SPDX-License-Identifier: MIT
#include "host/mounts.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "projfs/log.h"

namespace projfs {
namespace {

// A mount whose daemon was killed answers everything with ENOTCONN and hides the directory below.
// Such mounts may be stacked.
void detach_dead_mounts(const std::string& mountpoint) {
  struct stat info {};
  for (int tries = 0; tries < 16; ++tries) {
    if (::stat(mountpoint.c_str(), &info) == 0) return;
    if (errno != ENOTCONN && errno != ECONNABORTED) return;
    log::warn("{}: a mount without a daemon is in the way, detaching it", mountpoint);
    if (::umount2(mountpoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      log::error("{}: cannot detach it: {}", mountpoint, std::generic_category().message(errno));
      return;
    }
  }
}

}  // namespace

Mounts::Mounts(Store& store, Mounter& mounter, std::string projects_root, std::string table_path)
    : store_(store),
      mounter_(mounter),
      projects_root_(std::move(projects_root)),
      table_path_(std::move(table_path)) {
  mounter_.on_unmounted([this](const std::string& id) { ended(id); });
}

Status Mounts::restore(const Around& around) {
  PROJFS_ASSIGN(MountTable remembered, load_mount_table(table_path_));
  {
    const std::lock_guard lock(mutex_);
    table_ = remembered;
  }
  std::size_t mounted = 0;
  bool changed = false;
  const auto adopted = adopt_outlived(changed);
  {
    const std::lock_guard lock(mutex_);
    remembered = table_;
  }
  for (const auto& [id, mount] : remembered) {
    const bool outlived = adopted.contains(id);
    const auto now = [&, &known = id, &where = mount] {
      return outlived ? Status() : mount_now(known, where.mountpoint, where.options);
    };
    const auto done = around ? around(id, now) : now();
    if (done) {
      if (!outlived) ++mounted;
      continue;
    }
    log::error("{}: cannot mount it again at {}: {}", id, mount.mountpoint,
               done.error().describe());
    if (const auto project = store_.show(id); !project && project.error().code == ENOENT) {
      const std::lock_guard lock(mutex_);
      table_.erase(id);
      changed = true;
    }
  }
  if (!adopted.empty()) log::info("took over {} mounts", adopted.size());
  if (!remembered.empty() && adopted.size() < remembered.size()) {
    log::info("mounted {} of the {} projects that were mounted before", mounted, remembered.size());
  }
  const std::lock_guard lock(mutex_);
  return changed ? save_mount_table(table_path_, table_) : Status();
}

Result<std::shared_ptr<Volume>> Mounts::volume(const std::string& id) const {
  return compose_ ? compose_(id) : store_.volume(id);
}

std::set<std::string, std::less<>> Mounts::adopt_outlived(bool& changed) {
  std::set<std::string, std::less<>> adopted;
  for (const auto& [id, mountpoint, options] : mounter_.outlived()) {
    auto volume = this->volume(id);
    const auto done = mounter_.adopt(id, volume ? *volume : nullptr);
    if (volume && !done && done.error().code == ENODEV) {
      log::info("{}: it was unmounted from {} while no daemon ran", id, mountpoint);
      continue;
    }
    if (!volume || !done) {
      log::warn(
          "{}: its mount at {} did not survive the end of the last daemon ({}): programs that "
          "used it get \"Transport endpoint is not connected\" until they open it anew",
          id, mountpoint, (volume ? done.error() : volume.error()).describe());
      continue;
    }
    adopted.insert(id);
    const std::lock_guard lock(mutex_);
    if (!*done || table_.contains(id)) continue;
    table_[id] = {mountpoint, options};  // that daemon was killed before it could write it down
    changed = true;
  }
  return adopted;
}

Status Mounts::mount_now(const std::string& id, const std::string& mountpoint,
                         const MountOptions& options) {
  PROJFS_ASSIGN(auto volume, this->volume(id));
  detach_dead_mounts(mountpoint);

  // The operator chose the root; below it the daemon makes what it needs.
  std::vector<std::filesystem::path> created;
  if (mountpoint == projects_root_ + "/" + id) {
    std::error_code error;
    std::filesystem::path missing = mountpoint;
    while (!std::filesystem::exists(missing, error) && missing.has_relative_path()) {
      created.push_back(missing);
      missing = missing.parent_path();
    }
    std::filesystem::create_directories(mountpoint, error);
    if (error) {
      return fail(error.value(),
                  "cannot create the mount point " + mountpoint + ": " + error.message());
    }
  }
  auto done = mounter_.mount(id, mountpoint, std::move(volume), options);
  if (!done) {
    for (const auto& directory : created) ::rmdir(directory.c_str());
  }
  return done;
}

Status Mounts::mount(const std::string& id, const std::optional<std::string>& mountpoint,
                     const MountOptions& options) {
  // The id is checked before it becomes part of a path.
  PROJFS_TRY(store_.show(id));
  const std::string where = mountpoint.value_or(projects_root_ + "/" + id);
  if (!std::filesystem::path(where).is_absolute())
    return fail(EINVAL, "the mount point " + where + " must be an absolute path");
  if (const auto at = mounter_.mountpoint(id))
    return fail(EBUSY, "already mounted at " + *at + "; unmount it there first");
  {
    const std::lock_guard lock(mutex_);
    if (keep_) return fail(ESHUTDOWN, "the daemon is stopping");
    if (!busy_.insert(id).second)
      return fail(EBUSY, "it is being mounted or unmounted right now; try again");
    for (const auto& [other, remembered] : table_) {
      if (other == id || remembered.mountpoint != where) continue;
      busy_.erase(id);
      return fail(EBUSY, std::string(where)
                             .append(" belongs to the project ")
                             .append(other)
                             .append("; choose another directory"));
    }
  }
  auto done = mount_now(id, where, options);

  const std::lock_guard lock(mutex_);
  busy_.erase(id);
  if (!done) return done;
  table_[id] = {where, options};
  if (auto saved = save_mount_table(table_path_, table_); !saved) {
    // It is mounted, and that is what was asked for; only a restart would not bring it back.
    log::error("{}: {}", id, saved.error().describe());
  }
  return done;
}

Status Mounts::unmount(std::string_view id, bool force) {
  {
    const std::lock_guard lock(mutex_);
    if (!busy_.insert(std::string(id)).second)
      return fail(EBUSY, "it is being mounted or unmounted right now; try again");
  }
  auto done = mounter_.unmount(id, force);
  // A file that was closed just now may be held a moment longer, by the kernel or by somebody who
  // looks through /proc. Who really uses the mount still does after this.
  for (int tries = 0; !done && done.error().code == EBUSY && !force && tries < 10; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    done = mounter_.unmount(id, force);
  }

  const std::lock_guard lock(mutex_);
  busy_.erase(busy_.find(id));
  // What could not be mounted again at start is remembered without being mounted: forgotten here.
  const bool remembered = table_.contains(id);
  if (!done && !(done.error().code == ENOENT && remembered)) return done;
  if (remembered) {
    table_.erase(table_.find(id));
    if (auto saved = save_mount_table(table_path_, table_); !saved)
      log::error("{}: {}", id, saved.error().describe());
  }
  return {};
}

void Mounts::remove_mountpoint(std::string_view id) const {
  ::rmdir((projects_root_ + "/" + std::string(id)).c_str());
}

std::optional<std::string> Mounts::mountpoint(std::string_view id) const {
  return mounter_.mountpoint(id);
}

std::optional<MountOptions> Mounts::options(std::string_view id) const {
  if (!mounter_.mountpoint(id)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto it = table_.find(id);
  return it == table_.end() ? std::nullopt : std::optional(it->second.options);
}

std::size_t Mounts::count() const { return mounter_.figures().size(); }

void Mounts::keep_remembering() {
  const std::lock_guard lock(mutex_);
  keep_ = true;
}

void Mounts::ended(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    if (keep_ || busy_.contains(id)) return;
    // It may have been mounted again before this call came.
    if (mounter_.mountpoint(id)) return;
    if (table_.erase(id) == 0) return;
    log::info("{}: unmounted", id);
    if (auto saved = save_mount_table(table_path_, table_); !saved)
      log::error("{}: {}", id, saved.error().describe());
  }
  if (on_ended_) on_ended_(id);
}

}  // namespace projfs
