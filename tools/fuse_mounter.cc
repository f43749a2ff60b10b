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

std::vector<Mounter::Outlived> FuseMounter::outlived() const {
  std::vector<Outlived> all;
  if (kept_ == nullptr) return all;
  for (const auto& [mount, fd] : kept_->kept()) {
    if (!fd) continue;  // adopted
    all.push_back({.id = mount.id,
                   .mountpoint = mount.mountpoint,
                   .options = {.read_only = mount.flags.read_only,
                               .allow_suid = mount.flags.allow_suid,
                               .allow_devices = mount.flags.allow_devices}});
  }
  return all;
}

Result<bool> FuseMounter::adopt(const std::string& id, std::shared_ptr<Volume> volume) {
  if (kept_ == nullptr) return fail(ENOENT);
  for (auto& [mount, fd] : kept_->kept()) {
    if (mount.id != id || !fd) continue;
    Result<bool> done = fail(ENOENT, "the project is gone");
    if (volume) {
      done = server_->adopt({.id = id,
                             .mountpoint = mount.mountpoint,
                             .volume = std::move(volume),
                             .read_only = mount.flags.read_only,
                             .allow_suid = mount.flags.allow_suid,
                             .allow_devices = mount.flags.allow_devices},
                            mount, fd.release(), kept_->drained());
    } else {
      fd.reset();
    }
    if (!done) {
      kept_->let_go(mount.connection);
      fuse::abort_fuse(mount.mountpoint, mount.device);
    }
    return done;
  }
  return fail(ENOENT, "no mount of " + id + " is left from before");
}

}  // namespace projfs
