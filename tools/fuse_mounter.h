// SPDX-License-Identifier: MIT
//
// The FUSE edge as the host layer's Mounter.
#pragma once

#include <memory>

#include "descriptor_store.h"
#include "fuse/server.h"
#include "host/mounter.h"

namespace projfs {

class FuseMounter final : public Mounter {
 public:
  // `kept`: null, or what outlived an earlier daemon.
  FuseMounter(std::unique_ptr<fuse::Server> server, DescriptorStore* kept)
      : server_(std::move(server)), kept_(kept) {}

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

  [[nodiscard]] std::vector<Outlived> outlived() const override;
  Result<bool> adopt(const std::string& id, std::shared_ptr<Volume> volume) override;
  // Ends serving with all requests answered; the mounts stay. Only stop() may follow.
  void hand_over() { server_->hand_over(); }
  // Whether the event loop gets round (see Server::is_looking).
  [[nodiscard]] bool is_looking() { return server_->is_looking(); }

  // Unmounts everything and ends the server. No call may follow.
  void stop() { server_.reset(); }

 private:
  std::unique_ptr<fuse::Server> server_;
  DescriptorStore* const kept_;
};

}  // namespace projfs
