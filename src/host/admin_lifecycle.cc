// SPDX-License-Identifier: MIT
// The verbs that start, stop and save projects; mount and umount are the same with less said.
#include "host/admin_answers.h"
#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "host/mount_users.h"
#include "host/text.h"
#include "projfs/log.h"

namespace projfs {

using nlohmann::json;

Result<json> AdminService::started(const std::string& id, const AdminPeer& peer,
                                   const Lifecycle::Start& how, const AdminProgress& progress) {
  PROJFS_TRY(project(id, peer));
  if (auto done = lifecycle_.start(id, how, progress); !done)
    return tl::unexpected(named(std::move(done).error(), id));
  log::info("{}: mounted at {}", id, mounts_.mountpoint(id).value_or("?"));
  PROJFS_ASSIGN(const auto info, project(id, peer));
  return describe(info);
}

Result<json> AdminService::stopped(const std::string& id, const AdminPeer& peer,
                                   const Lifecycle::Stop& how, const AdminProgress& progress) {
  PROJFS_TRY(project(id, peer));
  if (auto done = lifecycle_.stop(id, how, progress); !done) {
    Error error = std::move(done).error();
    if (error.code == ENOENT) error.message = "it is not mounted";
    if (error.code == EBUSY && error.message.starts_with(kInUse))
      error.message += ", or use --force";
    return tl::unexpected(named(std::move(error), id));
  }
  PROJFS_ASSIGN(const auto info, project(id, peer));
  return describe(info);
}

Result<json> AdminService::start(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& progress) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  return started(id, peer, {.again = true}, progress);
}

Result<json> AdminService::stop(Arguments& arguments, const AdminPeer& peer,
                                const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const bool force = arguments.flag("force");
  const bool no_save = arguments.flag("no_save");
  PROJFS_TRY(arguments.done());
  return stopped(id, peer, {.force = force, .save = !no_save, .again = true}, progress);
}

Result<json> AdminService::mount(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto mountpoint = arguments.optional_text("mountpoint");
  const MountOptions options{.read_only = arguments.flag("read_only"),
                             .allow_suid = arguments.flag("suid"),
                             .allow_devices = arguments.flag("dev")};
  PROJFS_TRY(arguments.done());
  return started(id, peer, {.mountpoint = mountpoint, .options = options}, progress);
}

Result<json> AdminService::umount(Arguments& arguments, const AdminPeer& peer,
                                  const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const bool force = arguments.flag("force");
  PROJFS_TRY(arguments.done());
  return stopped(id, peer, {.force = force}, progress);
}

Result<json> AdminService::save(Arguments& arguments, const AdminPeer& peer,
                                const AdminProgress& progress) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  auto saved = lifecycle_.save(id, progress);
  if (!saved) return tl::unexpected(named(std::move(saved).error(), id));
  return json{{"id", id}, {"snapshot", *saved ? json(**saved) : json(nullptr)}};
}

Result<json> AdminService::state(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto info, project(id, peer));
  json out = to_json(lifecycle_.state(id));
  if (!info.problem.empty()) {
    out["state"] = name_of(LifeState::kError);
    out["error"] = info.problem;
  }
  // One that nobody ever started here has been stopped since it was made.
  if (out["since"].is_null()) out["since"] = rfc3339(info.created_ns);
  out["id"] = id;
  return out;
}

}  // namespace projfs
