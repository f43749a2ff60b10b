// SPDX-License-Identifier: MIT
//
// The FUSE edge: serves any number of mounts from one event loop and one worker pool. Knows
// volumes, nothing of stores.
//
// Thread safety: everything may be called from several threads, but not from inside a request.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuse/kept_mount.h"
#include "projfs/request_id.h"
#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs::fuse {

struct MountSpec {
  std::string id;          // shown as the mount's source
  std::string mountpoint;  // absolute, an empty directory
  std::shared_ptr<Volume> volume;
  bool read_only = false;
  bool allow_suid = false;
  bool allow_devices = false;
};

struct MountStats {
  std::string id, mountpoint;
  std::uint64_t requests = 0, bytes_read = 0, bytes_written = 0, errors = 0;
};

class Server {
 public:
  struct Options {
    unsigned workers = 16;                   // threads that may be inside a request at once
    unsigned spinners = 2;                   // of these, how many may poll without sleeping
    unsigned spin_us = 50;                   // how long after the last request they go on polling
    double cache_timeout_s = 86400.0 * 365;  // entries and attributes: projfsd is the only writer
    Keeper* keeper = nullptr;                // null: mounts end with this process
    // What the process before did (Store::answered); empty: it did nothing.
    std::function<std::optional<std::uint64_t>(const RequestId&)> answered;
    bool resend = true;  // false: as if no kernel could send unanswered requests again (tests)
  };

  static Result<std::unique_ptr<Server>> start(const Options& options);
  // Unmounts what is still mounted (lazily where busy) and joins all threads.
  virtual ~Server() = default;

  // Mounts and serves until unmounted from either side. ENOENT/ENOTDIR/ENOTEMPTY/EBUSY with a
  // sentence when the mount point will not do; nothing is mounted then.
  virtual Status mount(const MountSpec& spec) = 0;
  // EBUSY while files are open in it or somebody's working directory is there, unless `force`
  // (then detached at once, served until the last user leaves). ENOENT: no mount of that id.
  virtual Status unmount(std::string_view id, bool force) = 0;
  // Goes on serving a mount that another process began, and owns `fd`, also on failure. `answered`:
  // that process had answered all requests that it read; otherwise the kernel is asked to send
  // again those it has no answer to, which are carried out before this returns. Returns whether the
  // mount is where it was (else somebody only has files open in it). On failure nobody will serve
  // it: ENODEV, it is gone; EOPNOTSUPP, this kernel cannot send requests again; EPROTO.
  // REQUIRES: called by one thread at a time.
  virtual Result<bool> adopt(const MountSpec& spec, const KeptMount& kept, int fd,
                             bool answered) = 0;
  // Answers what has been read and reads no more; the mounts stay, for another process to adopt.
  // Nothing may be called after this but the destructor.
  virtual void hand_over() = 0;
  // Whether the event loop has got round since the last call, which made it try.
  virtual bool is_looking() = 0;
  // The mount point of a project, if mounted.
  [[nodiscard]] virtual std::optional<std::string> mountpoint(std::string_view id) const = 0;
  [[nodiscard]] virtual std::vector<MountStats> stats() const = 0;
  // Something changed the volume of a mount behind the kernel's back (an import): it forgets the
  // listing and attributes of `parent`, what it keeps of `child`, and, unless `name` is empty (the
  // name stayed what it was), the entry `name` of `parent`. A project that is not mounted: nothing
  // happens. Not from inside a request.
  virtual void invalidate(std::string_view id, Ino parent, std::string_view name, Ino child) = 0;
  // Called (from an internal thread) after a mount ended for whatever reason and its volume was let
  // go.
  virtual void on_unmounted(std::function<void(const std::string& id)> callback) = 0;
};

}  // namespace projfs::fuse
