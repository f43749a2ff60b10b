// SPDX-License-Identifier: MIT
//
// What the admin socket's verbs do: from a parsed request to its answer. Knows nothing of sockets.
// docs/admin-protocol.md describes requests and answers.
//
// Thread safety: handle() may be called from several threads.
#pragma once

#include <sys/types.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "host/mounts.h"
#include "host/tree_copy.h"
#include "projfs/store.h"

namespace projfs {

// Who asks.
struct AdminPeer {
  uid_t uid = 0;
  bool admin = false;  // root, or a member of the configured group
};

// Tells the client how far a long job is: 0..1, and a few words. False when nobody listens any
// more: a job that can stop, stops.
using AdminProgress = std::function<bool(double, const std::string&)>;

class AdminService {
 public:
  AdminService(Store& store, Mounts& mounts, Mounter& mounter);

  // The object under "ok", or the error.
  Result<nlohmann::json> handle(const nlohmann::json& request, const AdminPeer& peer,
                                const AdminProgress& progress);

 private:
  class Arguments;
  using Verb = Result<nlohmann::json> (AdminService::*)(Arguments&, const AdminPeer&,
                                                        const AdminProgress&);
  struct Entry;
  static const Entry* find(std::string_view verb);

  Result<nlohmann::json> store_status(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> store_check(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> store_gc(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> create(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> destroy(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> list(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> show(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> mount(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> umount(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> quota(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> import_tree(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> export_tree(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> stats(Arguments&, const AdminPeer&, const AdminProgress&);

  // The project, if it is there and the peer may ask about it. Who may not learns nothing of
  // whether it exists.
  Result<ProjectInfo> project(const std::string& id, const AdminPeer& peer);
  [[nodiscard]] nlohmann::json describe(const ProjectInfo& info) const;

  Store& store_;
  Mounts& mounts_;
  Mounter& mounter_;
  const std::int64_t started_ns_;
};

// The documents that the daemon and an offline check share.
nlohmann::json to_json(const StoreStatus& status, std::uint64_t mounts);
nlohmann::json to_json(const CheckReport& report);

}  // namespace projfs
