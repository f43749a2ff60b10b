// SPDX-License-Identifier: MIT
#include "host/admin_service.h"

#include <array>

#include "host/admin_arguments.h"
#include "host/process_memory.h"
#include "host/text.h"
#include "projfs/log.h"

#ifndef PROJFS_VERSION
#define PROJFS_VERSION "unknown"
#endif

namespace projfs {
namespace {

using nlohmann::json;

json limit_or_null(std::uint64_t value) {
  return value == kUnlimited ? json(nullptr) : json(value);
}

json describe_quota(const ProjectInfo& info) {
  return {{"quota",
           {{"bytes", limit_or_null(info.quota.bytes)},
            {"inodes", limit_or_null(info.quota.inodes)},
            {"history_bytes", limit_or_null(history_limit(info.quota))}}},
          {"usage",
           {{"bytes", info.usage.bytes},
            {"inodes", info.usage.inodes},
            {"history_bytes", info.usage.history_bytes}}}};
}

// A sentence where the engine gave an errno alone.
Error about_project(Error error, const std::string& id) {
  if (error.code == ENOENT)
    error.message = "no project has the id '" + id + "'; 'projfs-admin list' shows those there are";
  if (error.code == EEXIST)
    error.message = "the id '" + id + "' is taken; choose another, or destroy that project first";
  if (error.code == EINVAL) {
    error.message = "'" + id +
                    "' is not a project id; an id is 1 to 63 of a-z 0-9 . _ - and starts with a "
                    "letter or digit";
  }
  if (error.code == EBUSY && error.message.empty())
    error.message = "the project '" + id + "' is in use; stop what uses it first";
  return error;
}

Error named(Error error, const std::string& id) {
  error.message = id + ": " + error.describe();
  return error;
}

}  // namespace

json to_json(const StoreStatus& s, std::uint64_t mounts) {
  return {{"uuid", s.uuid},
          {"path", s.path},
          {"logical_bytes", s.logical_bytes},
          {"unique_bytes", s.unique_bytes},
          {"stored_bytes", s.stored_bytes},
          {"chunks", s.chunks},
          {"packs", s.packs},
          {"dedup_ratio", s.dedup_ratio},
          {"compression_ratio", s.compression_ratio},
          {"free_bytes", s.free_bytes},
          {"reserve_bytes", s.reserve_bytes},
          {"projects", s.projects},
          {"mounts", mounts},
          {"staged_bytes", s.staged_bytes},
          {"stage_disk_bytes", s.stage_disk_bytes}};
}

json to_json(const CheckReport& report) {
  return {{"clean", report.problems.empty()}, {"projects", report.projects},
          {"inodes", report.inodes},          {"entries", report.entries},
          {"extents", report.extents},        {"chunks", report.chunks},
          {"problems", report.problems}};
}

struct AdminService::Entry {
  std::string_view verb;
  Verb run;
  bool owners_too;  // not only for root and the group, but for who owns the project
};

const AdminService::Entry* AdminService::find(std::string_view verb) {
  static constexpr std::array<Entry, 24> kVerbs = {{
      {"store.status", &AdminService::store_status, false},
      {"store.check", &AdminService::store_check, false},
      {"store.gc", &AdminService::store_gc, false},
      {"create", &AdminService::create, false},
      {"destroy", &AdminService::destroy, false},
      {"list", &AdminService::list, false},
      {"show", &AdminService::show, true},
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
      {"clone", &AdminService::clone, false},
      {"snapshot.rollback", &AdminService::snapshot_rollback, false},
      {"versions", &AdminService::versions, true},
  }};
  for (const auto& entry : kVerbs) {
    if (entry.verb == verb) return &entry;
  }
  return nullptr;
}

AdminService::AdminService(Store& store, Mounts& mounts, Mounter& mounter,
                           SnapshotService& snapshots)
    : store_(store),
      mounts_(mounts),
      mounter_(mounter),
      snapshots_(snapshots),
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
  json out = describe_quota(info);
  out["id"] = info.id;
  out["state"] = mountpoint ? "running" : "stopped";
  out["mountpoint"] = mountpoint ? json(*mountpoint) : json(nullptr);
  out["role"] = "primary";
  out["generation"] = info.generation;
  out["created_at"] = rfc3339(info.created_ns);
  out["owner"] = {{"uid", info.uid}, {"gid", info.gid}};
  out["dedup"] = info.dedup == DedupMode::kProject ? "project" : "store";
  out["staged_bytes"] = info.staged_bytes;
  const auto snapshots = store_.snapshots(info.id);
  out["snapshots"] = snapshots ? (*snapshots)->count() : 0;
  const auto skipped = snapshots_.skipped(info.id);
  out["snapshots_skipped"] = skipped ? json(*skipped) : json(nullptr);
  out["base"] = nullptr;
  if (info.base) {
    out["base"] = {
        {"project", info.base->project.empty() ? json(nullptr) : json(info.base->project)},
        {"epoch", info.base->epoch}};
  }
  out["replicas"] = json::array();
  return out;
}

Result<json> AdminService::store_status(Arguments& arguments, const AdminPeer& /*peer*/,
                                        const AdminProgress& /*progress*/) {
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto status, store_.status());
  return to_json(status, mounts_.count());
}

Result<json> AdminService::store_check(Arguments& arguments, const AdminPeer& /*peer*/,
                                       const AdminProgress& progress) {
  const bool data = arguments.flag("data");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto report, store_.check(data, [&](double share) {
    progress(share, data ? "checking records and data" : "checking records");
  }));
  for (const auto& problem : report.problems) log::error("store check: {}", problem);
  return to_json(report);
}

Result<json> AdminService::store_gc(Arguments& arguments, const AdminPeer& /*peer*/,
                                    const AdminProgress& progress) {
  PROJFS_TRY(arguments.done());
  progress(0, "ingesting what is staged");
  PROJFS_TRY(store_.ingest_all());
  progress(0.5, "giving back what nothing refers to");
  PROJFS_TRY(store_.collect_garbage());
  PROJFS_ASSIGN(const auto status, store_.status());
  return to_json(status, mounts_.count());
}

Result<json> AdminService::create(Arguments& arguments, const AdminPeer& /*peer*/,
                                  const AdminProgress& progress) {
  ProjectSpec spec;
  spec.id = arguments.text("id");
  spec.quota.bytes = arguments.limit("bytes").value_or(kUnlimited);
  spec.quota.inodes = arguments.limit("inodes").value_or(kUnlimited);
  spec.quota.history_bytes = arguments.limit("history_bytes").value_or(kUnlimited);
  spec.uid = static_cast<std::uint32_t>(arguments.number("uid").value_or(0));
  spec.gid = static_cast<std::uint32_t>(arguments.number("gid").value_or(0));
  const auto dedup = arguments.optional_text("dedup").value_or("store");
  const bool mount = !arguments.flag("no_mount");
  PROJFS_TRY(arguments.done());
  if (dedup != "store" && dedup != "project")
    return fail(EINVAL, "the argument 'dedup' must be \"store\" or \"project\"");
  if (dedup == "project") spec.dedup = DedupMode::kProject;

  progress(0, "creating");
  auto info = store_.create(spec);
  if (!info) return tl::unexpected(about_project(std::move(info).error(), spec.id));
  if (mount) {
    progress(0.5, "mounting");
    if (auto mounted = mounts_.mount(spec.id, std::nullopt, {}); !mounted) {
      // A project that was asked to be mounted and is not would be half done.
      if (auto undone = store_.destroy(spec.id); !undone)
        log::error("{}: cannot undo its creation: {}", spec.id, undone.error().describe());
      return tl::unexpected(named(std::move(mounted).error(), spec.id));
    }
  }
  log::info("{}: created", spec.id);
  return describe(*info);
}

Result<json> AdminService::destroy(Arguments& arguments, const AdminPeer& peer,
                                   const AdminProgress& progress) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  if (const auto mountpoint = mounts_.mountpoint(id)) {
    progress(0, "unmounting");
    if (auto unmounted = mounts_.unmount(id, false); !unmounted) {
      Error error = std::move(unmounted).error();
      if (error.code == EBUSY) {
        error.message = "the project '" + id + "' is in use at " + *mountpoint +
                        "; stop what uses it ('fuser -vm " + *mountpoint + "' shows it)";
      }
      return tl::unexpected(std::move(error));
    }
  }
  progress(0.5, "destroying");
  if (auto destroyed = snapshots_.destroy(id); !destroyed)
    return tl::unexpected(about_project(std::move(destroyed).error(), id));
  mounts_.remove_mountpoint(id);
  log::info("{}: destroyed", id);
  return json{{"id", id}};
}

Result<json> AdminService::list(Arguments& arguments, const AdminPeer& /*peer*/,
                                const AdminProgress& /*progress*/) {
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto projects, store_.list());
  auto out = json::array();
  for (const auto& info : projects) out.push_back(describe(info));
  return out;
}

Result<json> AdminService::show(Arguments& arguments, const AdminPeer& peer,
                                const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto info, project(id, peer));
  return describe(info);
}

Result<json> AdminService::mount(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const auto mountpoint = arguments.optional_text("mountpoint");
  const MountOptions options{.read_only = arguments.flag("read_only"),
                             .allow_suid = arguments.flag("suid"),
                             .allow_devices = arguments.flag("dev")};
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto info, project(id, peer));
  if (auto mounted = mounts_.mount(id, mountpoint, options); !mounted)
    return tl::unexpected(named(std::move(mounted).error(), id));
  log::info("{}: mounted at {}", id, mounts_.mountpoint(id).value_or("?"));
  return describe(info);
}

Result<json> AdminService::umount(Arguments& arguments, const AdminPeer& peer,
                                  const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const bool force = arguments.flag("force");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto info, project(id, peer));
  const auto mountpoint = mounts_.mountpoint(id);
  if (auto unmounted = mounts_.unmount(id, force); !unmounted) {
    Error error = std::move(unmounted).error();
    if (error.code == ENOENT) error.message = "it is not mounted";
    if (error.code == EBUSY && mountpoint) {
      error.message = "it is in use at " + *mountpoint + "; stop what uses it ('fuser -vm " +
                      *mountpoint + "' shows it), or use --force";
    }
    return tl::unexpected(named(std::move(error), id));
  }
  return describe(info);
}

Result<json> AdminService::quota(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const auto bytes = arguments.limit("bytes");
  const auto inodes = arguments.limit("inodes");
  const auto history = arguments.limit("history_bytes");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(auto info, project(id, peer));
  if (bytes || inodes || history) {
    if (!peer.admin)
      return fail(EPERM, "only administrators change quotas; without options this shows yours");
    Quota quota = info.quota;
    quota.bytes = bytes.value_or(quota.bytes);
    quota.inodes = inodes.value_or(quota.inodes);
    quota.history_bytes = history.value_or(quota.history_bytes);
    if (auto set = store_.set_quota(id, quota); !set)
      return tl::unexpected(about_project(std::move(set).error(), id));
    PROJFS_ASSIGN(info, project(id, peer));
    log::info("{}: quota is now {}, {} inodes", id, format_limit(quota.bytes),
              quota.inodes == kUnlimited ? "unlimited" : std::to_string(quota.inodes));
  }
  auto out = describe_quota(info);
  out["id"] = id;
  return out;
}

Result<json> AdminService::stats(Arguments& arguments, const AdminPeer& /*peer*/,
                                 const AdminProgress& /*progress*/) {
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto status, store_.status());
  const auto s = store_.stats();
  auto mounts = json::array();
  for (const auto& m : mounter_.figures()) {
    mounts.push_back({{"id", m.id},
                      {"mountpoint", m.mountpoint},
                      {"requests", m.requests},
                      {"bytes_read", m.bytes_read},
                      {"bytes_written", m.bytes_written},
                      {"errors", m.errors}});
  }
  const auto& pauses = s.snapshot_pauses;
  const auto memory = process_memory();
  return json{{"version", PROJFS_VERSION},
              {"pid", ::getpid()},
              {"uptime_seconds", (now_ns() - started_ns_) / 1'000'000'000},
              {"memory",
               {{"resident_bytes", memory.resident_bytes},
                {"peak_resident_bytes", memory.peak_bytes},
                {"index_bytes", status.memory_index_bytes}}},
              {"store",
               {{"ingested_bytes", s.ingested_bytes},
                {"new_chunk_bytes", s.new_chunk_bytes},
                {"pack_bytes_written", s.pack_bytes_written},
                {"ingest_rounds", s.ingest_rounds},
                {"syncs", s.syncs},
                {"writes_throttled", s.writes_throttled},
                {"refused_quota", s.refused_quota},
                {"refused_space", s.refused_space},
                {"damaged_reads", s.damaged_reads},
                {"inodes_cached", s.inodes_cached},
                {"overlay_extents", s.overlay_extents},
                {"records_written", s.records_written},
                {"staged_bytes", status.staged_bytes},
                {"stage_disk_bytes", status.stage_disk_bytes}}},
              {"snapshot_pauses",
               {{"count", pauses.count},
                {"p50_ns", pauses.p50_ns},
                {"p99_ns", pauses.p99_ns},
                {"max_ns", pauses.max_ns}}},
              {"mounts", std::move(mounts)}};
}

}  // namespace projfs
