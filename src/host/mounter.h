// SPDX-License-Identifier: MIT
//
// What the host layer asks of whatever serves mounts. The daemon gives it the FUSE edge, tests a
// fake.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs {

struct MountOptions {
  bool read_only = false;
  bool allow_suid = false;
  bool allow_devices = false;
  friend bool operator==(const MountOptions&, const MountOptions&) = default;
};

struct MountFigures {
  std::string id, mountpoint;
  std::uint64_t requests = 0, bytes_read = 0, bytes_written = 0, errors = 0;
};

class Mounter {
 public:
  virtual ~Mounter() = default;

  // ENOENT/ENOTDIR/ENOTEMPTY/EBUSY with a sentence when the mount point will not do.
  virtual Status mount(const std::string& id, const std::string& mountpoint,
                       std::shared_ptr<Volume> volume, const MountOptions& options) = 0;
  // EBUSY while it is in use, unless `force`. ENOENT: not mounted.
  virtual Status unmount(std::string_view id, bool force) = 0;
  [[nodiscard]] virtual std::optional<std::string> mountpoint(std::string_view id) const = 0;
  [[nodiscard]] virtual std::vector<MountFigures> figures() const = 0;
  // Something changed the volume behind the mount's back: the kernel forgets what it cached of
  // `parent`, of `child` and, unless `name` is empty, of the entry `name` in `parent`. Not mounted:
  // nothing happens.
  virtual void invalidate(std::string_view id, Ino parent, std::string_view name, Ino child) = 0;

  // --- mounts that outlived an earlier daemon ---
  struct Outlived {
    std::string id, mountpoint;
    MountOptions options;
  };
  [[nodiscard]] virtual std::vector<Outlived> outlived() const { return {}; }
  // Goes on serving one of them; with its unanswered requests done when this returns. Whether it
  // still is at its mount point: else somebody only has files open in it. On failure, and with a
  // null volume (nothing is left to be served), those who use it get ENOTCONN from now on.
  virtual Result<bool> adopt(const std::string& id, std::shared_ptr<Volume> volume) {
    static_cast<void>(volume);
    return fail(ENOENT, "no mount of " + id + " is left from before");
  }

  // Called from another thread after a mount ended for whatever reason.
  virtual void on_unmounted(std::function<void(const std::string& id)> callback) = 0;
};

}  // namespace projfs
