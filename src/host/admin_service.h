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
#include <type_traits>
#include <utility>

#include "host/import_turns.h"
#include "host/lifecycle.h"
#include "host/mounts.h"
#include "host/snapshot_service.h"
#include "host/tree_copy.h"
#include "projfs/store.h"

namespace projfs {

// Who asks.
struct AdminPeer {
  uid_t uid = 0;
  bool admin = false;  // root, or a member of the configured group
};

// What a job tells the client before its answer. Everything returns false when nobody listens any
// more: a job that can stop, stops.
class AdminProgress {
 public:
  using Tell = std::function<bool(double, const std::string&)>;
  using Item = std::function<bool(const nlohmann::json&)>;
  template <class Callable>
  requires std::is_invocable_r_v<bool, Callable, double, const std::string&> AdminProgress(
      Callable tell, Item item = {})
      : tell_(std::move(tell)), item_(std::move(item)) {}

  // How far it is: 0..1, and a few words.
  bool operator()(double share, const std::string& step) const { return tell_(share, step); }
  // One item of an answer too large to be made as a whole.
  [[nodiscard]] bool streams() const { return static_cast<bool>(item_); }
  bool item(const nlohmann::json& one) const { return item_(one); }

 private:
  Tell tell_;
  Item item_;
};

class AdminService {
 public:
  // What the verbs work on; all of it must outlive the service.
  struct Parts {
    Store& store;
    Mounts& mounts;
    Mounter& mounter;
    SnapshotService& snapshots;
    Lifecycle& lifecycle;
  };
  explicit AdminService(const Parts& parts);

  // The object under "ok", or the error.
  Result<nlohmann::json> handle(const nlohmann::json& request, const AdminPeer& peer,
                                const AdminProgress& progress);

  // What `show` answers, as text: for those who may look into the project.
  Result<std::string> status_text(const std::string& id);

 private:
  class Arguments;
  using Verb = Result<nlohmann::json> (AdminService::*)(Arguments&, const AdminPeer&,
                                                        const AdminProgress&);
  struct Entry;
  static const Entry* find(std::string_view verb);

  // admin_store.cc
  Result<nlohmann::json> store_status(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> store_check(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> store_gc(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> stats(Arguments&, const AdminPeer&, const AdminProgress&);
  // admin_projects.cc
  Result<nlohmann::json> create(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> destroy(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> list(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> show(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> quota(Arguments&, const AdminPeer&, const AdminProgress&);
  // admin_lifecycle.cc
  Result<nlohmann::json> start(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> stop(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> state(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> save(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> mount(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> umount(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> started(const std::string& id, const AdminPeer& peer,
                                 const Lifecycle::Start& how, const AdminProgress& progress);
  Result<nlohmann::json> stopped(const std::string& id, const AdminPeer& peer,
                                 const Lifecycle::Stop& how, const AdminProgress& progress);
  // admin_copy.cc
  Result<nlohmann::json> import_tree(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> export_tree(Arguments&, const AdminPeer&, const AdminProgress&);
  // admin_snapshots.cc
  Result<nlohmann::json> snapshot_create(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_list(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_delete(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_rename(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_hold(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_release(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_policy(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_prune(Arguments&, const AdminPeer&, const AdminProgress&);
  // admin_clones.cc
  Result<nlohmann::json> clone(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_rollback(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> versions(Arguments&, const AdminPeer&, const AdminProgress&);
  Result<nlohmann::json> snapshot_diff(Arguments&, const AdminPeer&,
                                       const AdminProgress&);  // admin_diff.cc
  Result<nlohmann::json> set_held(Arguments&, const AdminPeer&, bool held);

  // The project, if it is there and the peer may ask about it. Who may not learns nothing of
  // whether it exists.
  Result<ProjectInfo> project(const std::string& id, const AdminPeer& peer);
  [[nodiscard]] nlohmann::json describe(const ProjectInfo& info);

  Store& store_;
  Mounts& mounts_;
  Mounter& mounter_;
  SnapshotService& snapshots_;
  Lifecycle& lifecycle_;
  ImportTurns import_turns_;
  const std::int64_t started_ns_;
};

// The documents that the daemon and an offline check share.
nlohmann::json to_json(const StoreStatus& status, std::uint64_t mounts);
nlohmann::json to_json(const CheckReport& report);

}  // namespace projfs
