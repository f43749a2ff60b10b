// SPDX-License-Identifier: MIT
//
// The FUSE edge as the host layer's Mounter.
#pragma once

#include <memory>

#include "fuse/server.h"
#include "host/mounter.h"

namespace projfs {

class FuseMounter final : public Mounter {
 public:
  explicit FuseMounter(std::unique_ptr<fuse::Server> server) : server_(std::move(server)) {}

  Status mount(const std::string& id, const std::string& mountpoint, std::shared_ptr<Volume> volume,
               const MountOptions& options) override;
  Status unmount(std::string_view id, bool force) override { return server_->unmount(id, force); }
  std::optional<std::string> mountpoint(std::string_view id) const override {
    return server_->mountpoint(id);
  }
  std::vector<MountFigures> figures() const override;
  void invalidate(std::string_view id, Ino parent, std::string_view name, Ino child) override {
    server_->invalidate(id, parent, name, child);
  }
  void on_unmounted(std::function<void(const std::string& id)> callback) override {
    server_->on_unmounted(std::move(callback));
  }

  // Unmounts everything and ends the server. No call may follow.
  void stop() { server_.reset(); }

 private:
  std::unique_ptr<fuse::Server> server_;
};

}  // namespace projfs
