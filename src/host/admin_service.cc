// SPDX-License-Identifier: MIT
#include "host/admin_service.h"

#include <array>

#include "host/admin_answers.h"
#include "host/admin_arguments.h"
#include "host/text.h"
#include "projfs/log.h"

namespace projfs {

using nlohmann::json;

struct AdminService::Entry {
  std::string_view verb;
  Verb run;
  bool owners_too;  // not only for root and the group, but for who owns the project
};

const AdminService::Entry* AdminService::find(std::string_view verb) {
  static constexpr auto kVerbs = std::to_array<Entry>({
      {"store.status", &AdminService::store_status, false},
      {"store.check", &AdminService::store_check, false},
      {"store.gc", &AdminService::store_gc, false},
      {"create", &AdminService::create, false},
      {"destroy", &AdminService::destroy, false},
      {"list", &AdminService::list, false},
      {"show", &AdminService::show, true},
      {"start", &AdminService::start, false},
      {"stop", &AdminService::stop, false},
      {"state", &AdminService::state, true},
      {"save", &AdminService::save, false},
      {"mount", &AdminService::mount, false},
      {"umount", &AdminService::umount, false},
      {"quota", &AdminService::quota, true},
      {"import", &AdminService::import_tree, false},
      {"export", &AdminService::export_tree, false},
      {"stats", &AdminService::stats, false},
      {"snapshot.create", &AdminService::snapshot_create, false},
      {"snapshot.list", &AdminService::snapshot_list, true},
      {"snapshot.delete", &AdminService::snapshot_delete, false},
      {"snapshot.rename", &AdminService::snapshot_rename, false},
      {"snapshot.hold", &AdminService::snapshot_hold, false},
      {"snapshot.release", &AdminService::snapshot_release, false},
      {"snapshot.policy", &AdminService::snapshot_policy, true},
      {"snapshot.prune", &AdminService::snapshot_prune, false},
      {"snapshot.diff", &AdminService::snapshot_diff, true},
      {"clone", &AdminService::clone, false},
      {"snapshot.rollback", &AdminService::snapshot_rollback, false},
      {"versions", &AdminService::versions, true},
  });
  for (const auto& entry : kVerbs) {
    if (entry.verb == verb) return &entry;
  }
  return nullptr;
}

AdminService::AdminService(const Parts& parts)
    : store_(parts.store),
      mounts_(parts.mounts),
      mounter_(parts.mounter),
      snapshots_(parts.snapshots),
      lifecycle_(parts.lifecycle),
      started_ns_(now_ns()) {}

Result<json> AdminService::handle(const json& request, const AdminPeer& peer,
                                  const AdminProgress& progress) {
  if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string())
    return fail(EINVAL, "a request is an object with the member \"verb\"");
  const auto verb = request["verb"].get<std::string>();
  const Entry* entry = find(verb);
  if (entry == nullptr)
    return fail(EOPNOTSUPP, "this daemon does not know the verb '" + verb + "'");
  if (!peer.admin && !entry->owners_too) {
    return fail(
        EPERM,
        "only root and the members of the daemon's admin_group may do this; ask one of them");
  }
  Arguments arguments(request);
  auto answer = (this->*entry->run)(arguments, peer, progress);
  if (!answer) {
    log::info("{} by uid {} failed: {}", verb, peer.uid, answer.error().describe());
  } else if (peer.admin && entry->verb != "list" && !entry->owners_too) {
    log::debug("{} by uid {} done", verb, peer.uid);
  }
  return answer;
}

Result<ProjectInfo> AdminService::project(const std::string& id, const AdminPeer& peer) {
  auto info = store_.show(id);
  if (!peer.admin && (!info || info->uid != peer.uid)) {
    return fail(EPERM, "you may ask only about projects that you own, and '" + id +
                           "' is not one of them; ask an administrator");
  }
  if (!info) return tl::unexpected(about_project(std::move(info).error(), id));
  return info;
}

Result<std::string> AdminService::status_text(const std::string& id) {
  PROJFS_ASSIGN(const auto info, store_.show(id));
  return describe(info).dump(-1, ' ', false, json::error_handler_t::replace);
}

json AdminService::describe(const ProjectInfo& info) {
  const auto mountpoint = mounts_.mountpoint(info.id);
  const auto life = lifecycle_.state(info.id);
  json out = describe_quota(info);
  auto problems = json::array();
  const auto add_problem = [&](const char* field, const std::string& what) {
    problems.push_back({{"field", field}, {"problem", what}});
  };
  out.update(to_json(life));
  out["id"] = info.id;
  out["mountpoint"] = mountpoint ? json(*mountpoint) : json(nullptr);
  out["replicas"] = json::array();
  out["snapshots_skipped"] = nullptr;
  out["base"] = nullptr;
  if (!info.problem.empty()) {
    // What cannot be known is null; the rest is as it is.
    for (const auto* field :
         {"role", "generation", "created_at", "owner", "dedup", "staged_bytes", "snapshots"})
      out[field] = nullptr;
    out["state"] = name_of(LifeState::kError);
    out["error"] = info.problem;
    add_problem("record", info.problem);
    if (life.error) add_problem("state", *life.error);
    out["problems"] = std::move(problems);
    return out;
  }
  if (life.error) add_problem("state", *life.error);
  out["role"] = "primary";
  out["generation"] = info.generation;
  out["created_at"] = rfc3339(info.created_ns);
  out["owner"] = {{"uid", info.uid}, {"gid", info.gid}};
  if (out["since"].is_null()) out["since"] = out["created_at"];
  out["dedup"] = info.dedup == DedupMode::kProject ? "project" : "store";
  out["staged_bytes"] = info.staged_bytes;
  const auto snapshots = store_.snapshots(info.id);
  out["snapshots"] = snapshots ? (*snapshots)->count() : 0;
  if (!snapshots && snapshots.error().code != EOPNOTSUPP)
    add_problem("snapshots", snapshots.error().describe());
  const auto skipped = snapshots_.skipped(info.id);
  if (skipped) {
    out["snapshots_skipped"] = *skipped;
    add_problem("snapshots", *skipped);
  }
  if (info.base) {
    out["base"] = {
        {"project", info.base->project.empty() ? json(nullptr) : json(info.base->project)},
        {"epoch", info.base->epoch}};
  }
  out["problems"] = std::move(problems);
  return out;
}

}  // namespace projfs
