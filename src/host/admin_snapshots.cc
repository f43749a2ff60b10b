// SPDX-License-Identifier: MIT
// The verbs about snapshots.
#include <sys/stat.h>
#include <algorithm>
#include <set>
#include <tuple>

#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "host/text.h"
#include "projfs/log.h"
#include "snapshot/retention.h"

namespace projfs {
namespace {

using nlohmann::json;

// Longer than this a policy's period has no use; shorter than this it is no snapshot but a log.
constexpr std::int64_t kShortestMs = 1000, kLongestMs = 366ll * 86'400'000;

Error about(Error error, const std::string& id) {
  error.message = id + ": " + error.describe();
  return error;
}

template <class T>
Result<T> named(Result<T> result, const std::string& id) {
  if (!result) return tl::unexpected(about(std::move(result).error(), id));
  return result;
}

SnapshotPolicy with(SnapshotPolicy policy, const snapshot::Retention& keep) {
  policy.keep_last = keep.last;
  policy.keep_hourly = keep.hourly;
  policy.keep_daily = keep.daily;
  policy.keep_weekly = keep.weekly;
  policy.keep_monthly = keep.monthly;
  return policy;
}

// The inode at a path in a volume; ENOENT also where something on the way is no directory.
Result<Attr> walk(Volume& volume, std::string_view path) {
  PROJFS_ASSIGN(Attr at, volume.getattr(kRootIno));
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto name = path.substr(0, slash);
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
    if (name.empty() || name == ".") continue;
    if (!S_ISDIR(at.mode)) return fail(ENOENT);
    PROJFS_ASSIGN(at, volume.lookup(at.ino, name));
  }
  return at;
}

}  // namespace

Result<json> AdminService::snapshot_create(Arguments& arguments, const AdminPeer& peer,
                                           const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const auto name = arguments.optional_text("name");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  if (name && name->empty()) return fail(EINVAL, id + ": a snapshot's name must not be empty");
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  PROJFS_ASSIGN(const auto made, named(shown->make(name.value_or(""), false), id));
  log::info("{}: made the snapshot {}", id, made.name);
  return to_json(made);
}

Result<json> AdminService::snapshot_list(Arguments& arguments, const AdminPeer& peer,
                                         const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  auto out = json::array();
  PROJFS_TRY(shown->engine().each(0, [&](const SnapshotInfo& found) {
    out.push_back(to_json(found));
    return true;
  }));
  return out;
}

Result<json> AdminService::snapshot_delete(Arguments& arguments, const AdminPeer& peer,
                                           const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto name = arguments.text("name");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  progress(0, "deleting " + name);
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  if (auto removed = shown->remove(name); !removed)
    return tl::unexpected(about(std::move(removed).error(), id));
  log::info("{}: deleted the snapshot {}", id, name);
  return json{{"id", id}, {"name", name}};
}

Result<json> AdminService::snapshot_rename(Arguments& arguments, const AdminPeer& peer,
                                           const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const auto name = arguments.text("name");
  const auto new_name = arguments.text("new_name");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  if (auto renamed = shown->rename(name, new_name); !renamed)
    return tl::unexpected(about(std::move(renamed).error(), id));
  PROJFS_ASSIGN(const auto found, named(shown->engine().find(new_name), id));
  return to_json(found);
}

Result<json> AdminService::set_held(Arguments& arguments, const AdminPeer& peer, bool held) {
  const auto id = arguments.text("id");
  const auto name = arguments.text("name");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  if (auto set = shown->engine().set_held(name, held); !set)
    return tl::unexpected(about(std::move(set).error(), id));
  PROJFS_ASSIGN(const auto found, named(shown->engine().find(name), id));
  return to_json(found);
}

Result<json> AdminService::snapshot_hold(Arguments& arguments, const AdminPeer& peer,
                                         const AdminProgress& /*progress*/) {
  return set_held(arguments, peer, true);
}

Result<json> AdminService::snapshot_release(Arguments& arguments, const AdminPeer& peer,
                                            const AdminProgress& /*progress*/) {
  return set_held(arguments, peer, false);
}

Result<json> AdminService::snapshot_policy(Arguments& arguments, const AdminPeer& peer,
                                           const AdminProgress& /*progress*/) {
  const auto id = arguments.text("id");
  const auto keep = arguments.optional_text("keep");
  const auto every = arguments.optional_text("every");
  const bool off = arguments.flag("off");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto now, named(snapshots_.policy(id), id));
  if (keep || every || off) {
    if (!peer.admin)
      return fail(EPERM, "only administrators change policies; without options this shows yours");
    if (off && (keep || every))
      return fail(EINVAL, "off and a policy contradict each other; give one of them");
    SnapshotPolicy policy = now.policy;
    policy.off = off;
    if (keep) {
      PROJFS_ASSIGN(const auto parsed, snapshot::parse_retention(*keep));
      policy = with(policy, parsed);
    }
    if (every) {
      PROJFS_ASSIGN(const auto ms, parse_duration_ms(*every));
      if (ms < kShortestMs || ms > kLongestMs || ms % 1000 != 0)
        return fail(EINVAL, "'" + *every + "' is no period for snapshots: from 1s to a year");
      policy.every_seconds = static_cast<std::uint64_t>(ms / 1000);
    }
    PROJFS_TRY(snapshots_.set_policy(id, policy));
    log::info("{}: snapshots are now made {}", id,
              off ? "by hand only" : "every " + format_seconds(policy.every_seconds));
  }
  PROJFS_ASSIGN(const auto then, named(snapshots_.policy(id), id));
  json out = to_json(then);
  out["id"] = id;
  return out;
}

Result<json> AdminService::snapshot_prune(Arguments& arguments, const AdminPeer& peer,
                                          const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const bool dry_run = arguments.flag("dry_run");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(
      const auto gone,
      named(snapshots_.prune_now(
                id, dry_run, [&](double share) { return progress(share, "deleting snapshots"); }),
            id));
  auto names = json::array();
  for (const auto& s : gone) names.push_back(s.name);
  if (!dry_run) log::info("{}: pruned {} snapshots", id, gone.size());
  return json{{"id", id}, {"dry_run", dry_run}, {"deleted", std::move(names)}};
}

Result<json> AdminService::versions(Arguments& arguments, const AdminPeer& peer,
                                    const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto path = arguments.text("path");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto head, store_.volume(id));
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  PROJFS_ASSIGN(auto all, named(shown->engine().list(), id));
  std::reverse(all.begin(), all.end());

  auto out = json::array();
  std::set<std::tuple<Ino, std::uint64_t, std::int64_t, std::int64_t>> seen;
  const auto add = [&](Volume& volume, const json& name) -> Status {
    const auto found = walk(volume, path);
    if (!found && (found.error().code == ENOENT || found.error().code == ESTALE)) return {};
    PROJFS_TRY(found);
    if (!seen.emplace(found->ino, found->size, found->mtime.tv_sec, found->mtime.tv_nsec).second)
      return {};
    out.push_back({{"snapshot", name},
                   {"mtime", rfc3339(std::int64_t{found->mtime.tv_sec} * 1'000'000'000)},
                   {"size", found->size},
                   {"inode", found->ino}});
    return {};
  };
  PROJFS_TRY(named(add(*head, nullptr), id));
  std::size_t done = 0;
  for (const auto& s : all) {
    const auto share = static_cast<double>(done++) / static_cast<double>(all.size());
    if (!progress(share, "looking into " + s.name)) return fail(ECANCELED);
    const auto volume = shown->volume(s.number);
    if (!volume && volume.error().code == ESTALE) continue;  // deleted meanwhile
    PROJFS_TRY(volume);
    PROJFS_TRY(named(add(**volume, s.name), id));
  }
  if (out.empty()) return fail(ENOENT, id + ": " + path + " is not there, now or in any snapshot");
  return out;
}

}  // namespace projfs
