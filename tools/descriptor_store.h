// SPDX-License-Identifier: MIT
//
// Descriptors of mounts, kept while no daemon runs by whoever starts it: systemd in its file
// descriptor store, or projfs-supervise. Both speak sd_notify(3) (FDSTORE=1) and hand the
// descriptors to the next daemon as sd_listen_fds(3) says. What else has to be known of a mount is
// in a file of its own below the store, written before its descriptor is handed over; a file
// without a descriptor is of a mount that ended.
//
// Thread safety: keep() and let_go() may be called from several threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fuse/kept_mount.h"
#include "host/descriptor.h"

namespace projfs {

class DescriptorStore final : public fuse::Keeper {
 public:
  struct Kept {
    fuse::KeptMount mount;
    Descriptor fd;
  };

  // Takes the descriptors that were handed to this process. `directory`: of the files; looked into
  // only, as the store may be another daemon's. Null: nobody keeps descriptors. Once, early: it
  // clears what the environment says about them.
  static std::unique_ptr<DescriptorStore> open(std::string directory);

  // What outlived the last daemon.
  [[nodiscard]] std::vector<Kept>& kept() { return kept_; }
  // That daemon had answered all requests.
  [[nodiscard]] bool drained() const { return drained_; }

  // From now on the directory is ours: makes it and removes what is of no use in it.
  Status begin();
  // All requests are answered: the next daemon may rely on that.
  Status mark_drained();

  Status keep(const fuse::KeptMount& mount, int fd) override;
  void let_go(std::uint64_t connection) override;

 private:
  explicit DescriptorStore(std::string directory) : directory_(std::move(directory)) {}
  void take(const std::string& name, Descriptor fd);
  [[nodiscard]] std::string file_of(const std::string& name) const {
    return directory_ + "/" + name;
  }

  const std::string directory_;
  std::vector<Kept> kept_;
  bool drained_ = false;
};

}  // namespace projfs
