// SPDX-License-Identifier: MIT
// The verbs about projects: making and destroying them, what they are, their quotas.
#include "host/admin_answers.h"
#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "host/mount_users.h"
#include "host/text.h"
#include "projfs/log.h"

namespace projfs {

using nlohmann::json;

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
    if (auto mounted = lifecycle_.start(spec.id, {}, progress); !mounted) {
      // A project that was asked to be mounted and is not would be half done.
      if (auto undone = store_.destroy(spec.id); !undone)
        log::error("{}: cannot undo its creation: {}", spec.id, undone.error().describe());
      lifecycle_.forget(spec.id);
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
  if (mounts_.mountpoint(id)) {
    if (auto stopped = lifecycle_.stop(id, {.again = true}, progress); !stopped) {
      Error error = std::move(stopped).error();
      if (!error.message.starts_with(kInUse)) return tl::unexpected(named(std::move(error), id));
      error.message.replace(0, 2, "the project '" + id + "'");
      return tl::unexpected(std::move(error));
    }
  }
  progress(0.5, "destroying");
  if (auto destroyed = snapshots_.destroy(id); !destroyed)
    return tl::unexpected(about_project(std::move(destroyed).error(), id));
  mounts_.remove_mountpoint(id);
  lifecycle_.forget(id);
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

}  // namespace projfs
