// SPDX-License-Identifier: MIT
// The verbs that give a project the content of a snapshot: its own, or another project's.
#include "host/admin_answers.h"
#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "projfs/log.h"

namespace projfs {

using nlohmann::json;

Result<json> AdminService::clone(Arguments& arguments, const AdminPeer& peer,
                                 const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto source = arguments.text("source");
  const auto snapshot = arguments.optional_text("snapshot");
  const bool mount = !arguments.flag("no_mount");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(source, peer));
  if (snapshot && snapshot->empty())
    return fail(EINVAL, source + ": a snapshot's name must not be empty");
  progress(0, "making a clone of " + source);
  {
    const auto hold = snapshots_.in_use();
    if (auto made = store_.clone(source, snapshot.value_or(""), id); !made)
      return tl::unexpected(named(std::move(made).error(), id));
  }
  if (mount) {
    if (auto mounted = lifecycle_.start(id, {}, progress); !mounted) {
      // A project that was asked to be mounted and is not would be half done.
      if (auto undone = snapshots_.destroy(id); !undone)
        log::error("{}: cannot undo its creation: {}", id, undone.error().describe());
      lifecycle_.forget(id);
      return tl::unexpected(named(std::move(mounted).error(), id));
    }
  }
  log::info("{}: made as a clone of {}{}", id, source, snapshot ? "@" + *snapshot : "");
  PROJFS_ASSIGN(const auto info, project(id, peer));
  return describe(info);
}

Result<json> AdminService::snapshot_rollback(Arguments& arguments, const AdminPeer& peer,
                                             const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto name = arguments.text("name");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  if (const auto mounted = mounts_.options(id); mounted && mounted->read_only) {
    return fail(EROFS, id + ": it is mounted read-only, so nothing in it may change; unmount it or "
                            "mount it for writing first");
  }
  progress(0, "going back to " + name);
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  // This thread serves no mount: the kernel may have to ask for something before it forgets.
  auto kept = shown->rollback(
      name, [&](Ino ino, std::string_view entry) { mounter_.invalidate(id, ino, entry, ino); });
  if (!kept) {
    return tl::unexpected(named(std::move(kept).error(), id));
  }
  snapshots_.head_changed(id);
  log::info("{}: rolled back to the snapshot {}, kept as {}", id, name, kept->name);
  PROJFS_ASSIGN(const auto info, project(id, peer));
  json out = describe(info);
  out["kept_as"] = kept->name;
  return out;
}

}  // namespace projfs
