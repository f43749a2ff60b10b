// SPDX-License-Identifier: MIT
#include "fuse_mounter.h"

namespace projfs {

Status FuseMounter::mount(const std::string& id, const std::string& mountpoint,
                          std::shared_ptr<Volume> volume, const MountOptions& options) {
  return server_->mount({.id = id,
                         .mountpoint = mountpoint,
                         .volume = std::move(volume),
                         .read_only = options.read_only,
                         .allow_suid = options.allow_suid,
                         .allow_devices = options.allow_devices});
}

std::vector<MountFigures> FuseMounter::figures() const {
  std::vector<MountFigures> all;
  for (const auto& m : server_->stats()) {
    all.push_back({.id = m.id,
                   .mountpoint = m.mountpoint,
                   .requests = m.requests,
                   .bytes_read = m.bytes_read,
                   .bytes_written = m.bytes_written,
                   .errors = m.errors});
  }
  return all;
}

}  // namespace projfs
