// SPDX-License-Identifier: MIT
//
// The mounts of a host: brings volumes of the store and mount points together, and remembers them
// across restarts of the daemon.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "host/mount_table.h"
#include "host/mounter.h"
#include "projfs/store.h"

namespace projfs {

class Mounts {
 public:
  // `table_path`: the file of the mount table. All references must outlive this object, and the
  // mounter must have stopped calling back before it is destroyed.
  Mounts(Store& store, Mounter& mounter, std::string projects_root, std::string table_path);
  // What is mounted of a project, if not the volume itself. Before anything is mounted.
  using Compose = std::function<Result<std::shared_ptr<Volume>>(const std::string& id)>;
  void compose_with(Compose compose) { compose_ = std::move(compose); }
  Mounts(const Mounts&) = delete;
  Mounts& operator=(const Mounts&) = delete;

  // Called from another thread after a mount ended without anybody's calling unmount(): somebody
  // unmounted it from outside. Before anything is mounted.
  using Ended = std::function<void(const std::string& id)>;
  void on_ended(Ended ended) { on_ended_ = std::move(ended); }

  // Goes on serving what outlived an earlier daemon, and mounts the rest of what the table
  // remembers, detaching mount points that a killed daemon left behind. What cannot be mounted is
  // logged and stays remembered, unless its project is gone. Once, at start.
  // `around` does what else is due for each, and calls `mount` or says why not.
  using Around = std::function<Status(const std::string& id, const std::function<Status()>& mount)>;
  Status restore(const Around& around = {});

  // At `mountpoint` (absolute), or at projects_root/id, which is created if needed. EBUSY if
  // mounted. On error nothing is mounted and what was created for it is removed.
  Status mount(const std::string& id, const std::optional<std::string>& mountpoint,
               const MountOptions& options);
  Status unmount(std::string_view id, bool force);
  // A project has been destroyed: its default mount point goes too, if it is there and empty.
  void remove_mountpoint(std::string_view id) const;

  [[nodiscard]] std::optional<std::string> mountpoint(std::string_view id) const;
  // How it is mounted, if it is.
  [[nodiscard]] std::optional<MountOptions> options(std::string_view id) const;
  [[nodiscard]] std::size_t count() const;

  // From now on mounts that end are remembered: it is the daemon that goes, not the mount.
  void keep_remembering();

 private:
  Status mount_now(const std::string& id, const std::string& mountpoint,
                   const MountOptions& options);
  void ended(const std::string& id);
  [[nodiscard]] Result<std::shared_ptr<Volume>> volume(const std::string& id) const;
  // The ids of the mounts that are served again; those the table lacks come into it.
  std::set<std::string, std::less<>> adopt_outlived(bool& changed);

  Store& store_;
  Mounter& mounter_;
  const std::string projects_root_;
  const std::string table_path_;
  Compose compose_;
  Ended on_ended_;

  mutable std::mutex mutex_;  // guards what follows; never held while the mounter works
  MountTable table_;
  std::set<std::string, std::less<>> busy_;  // ids being mounted or unmounted
  bool keep_ = false;
};

}  // namespace projfs
