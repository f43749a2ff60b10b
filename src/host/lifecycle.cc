// SPDX-License-Identifier: MIT
#include "host/lifecycle.h"

#include <sys/stat.h>

#include "host/mapped_pages.h"
#include "host/mount_users.h"
#include "projfs/log.h"

namespace projfs {
namespace {

void tell(const Lifecycle::Progress& progress, double share, const std::string& step) {
  if (progress) progress(share, step);
}

}  // namespace

Lifecycle::Lifecycle(Store& store, Mounts& mounts, SnapshotService& snapshots,
                     const std::string& directory)
    : store_(store), mounts_(mounts), snapshots_(snapshots), lives_(directory) {
  mounts_.on_ended([this](const std::string& id) {
    lives_.enter_from(id, LifeState::kRunning, LifeState::kStopped);
  });
}

Life Lifecycle::state(const std::string& id) {
  Life life = lives_.of(id);
  if (is_passing(life.state)) return life;
  // Somebody unmounted it a moment ago, or the last daemon did not bring it back.
  const bool mounted = mounts_.mountpoint(id).has_value();
  if (life.state == LifeState::kRunning && !mounted) life.state = LifeState::kStopped;
  return life;
}

Status Lifecycle::settle(const std::string& id, Status done, LifeState to) {
  auto entered = done ? lives_.enter(id, to)
                      : lives_.enter(id, LifeState::kError, {}, done.error().describe());
  if (!entered) log::error("{}: {}", id, entered.error().describe());
  return done;
}

// Identity and ownership: what is mounted is what its record says.
Status Lifecycle::check(const std::string& id) {
  PROJFS_TRY(store_.verify_identity());
  PROJFS_ASSIGN(const auto info, store_.show(id));
  if (!info.problem.empty()) return fail(EIO, info.problem);
  if (info.id != id)
    return fail(EIO, "its record says that it is " + info.id + "; run 'projfs-admin store check'");
  PROJFS_ASSIGN(const auto volume, store_.volume(id));
  const auto root = volume->getattr(kRootIno);
  if (!root) return fail(EIO, "its root directory cannot be read: " + root.error().describe());
  if (!S_ISDIR(root->mode)) return fail(EIO, "the record of its root is not that of a directory");
  return {};
}

Status Lifecycle::start(const std::string& id, const Start& how, const Progress& progress) {
  // An id that is unknown or malformed leaves no trace.
  PROJFS_TRY(store_.show(id));
  if (const auto at = mounts_.mountpoint(id)) {
    if (how.again && (!how.mountpoint || *how.mountpoint == *at)) {
      if (lives_.of(id).state == LifeState::kRunning) return {};
    } else {
      return fail(EBUSY, "already mounted at " + *at + "; unmount it there first");
    }
  }
  if (lives_.of(id).state == LifeState::kRunning)
    lives_.enter_from(id, LifeState::kRunning, LifeState::kStopped);  // and nobody noticed yet
  PROJFS_TRY(lives_.enter(id, LifeState::kStarting, "checking"));
  tell(progress, 0, "checking");
  if (auto whole = check(id); !whole) return settle(id, std::move(whole), LifeState::kRunning);
  lives_.step(id, "mounting", 0.5);
  tell(progress, 0.5, "mounting");
  return settle(id, mounts_.mount(id, how.mountpoint, how.options), LifeState::kRunning);
}

Error Lifecycle::in_use(const std::string& id, Error error) const {
  const auto at = mounts_.mountpoint(id);
  if (error.code != EBUSY || !at) return error;
  const auto users = users_of_mount(*at);
  error.message = std::string(kInUse) + " at " + *at +
                  (users.empty() ? "; stop what uses it ('fuser -vm " + *at + "' shows it)"
                                 : " by " + describe(users) + "; stop them");
  return error;
}

Status Lifecycle::stop(const std::string& id, const Stop& how, const Progress& progress) {
  const auto info = store_.show(id);
  PROJFS_TRY(info);
  const bool mounted = mounts_.mountpoint(id).has_value();
  const auto before = state(id).state;
  if (!mounted && before == LifeState::kStopped) {
    // What is remembered without being mounted is forgotten.
    auto forgotten = mounts_.unmount(id, how.force);
    if (!forgotten && forgotten.error().code == ENOENT && how.again) return {};
    return forgotten;
  }
  PROJFS_TRY(lives_.enter(id, LifeState::kStopping, "unmounting"));
  tell(progress, 0, "unmounting");
  auto unmounted = mounts_.unmount(id, how.force);
  // In the state error there may have been no mount to end.
  const bool was_none = !unmounted && unmounted.error().code == ENOENT;
  if (!unmounted && !was_none) {
    Error error = in_use(id, std::move(unmounted).error());
    if (mounts_.mountpoint(id)) {
      (void)lives_.enter(id, LifeState::kRunning);
      return tl::unexpected(std::move(error));
    }
    return settle(id, tl::unexpected(std::move(error)), LifeState::kStopped);
  }
  if (!info->problem.empty()) return settle(id, {}, LifeState::kStopped);

  lives_.step(id, "syncing", 0.5);
  tell(progress, 0.5, "syncing");
  if (auto synced = store_.sync(); !synced)
    return settle(id, std::move(synced), LifeState::kStopped);
  if (how.save) {
    const auto policy = snapshots_.policy(id);
    if (policy && !policy->policy.off) {
      tell(progress, 0.8, "final snapshot");
      PROJFS_TRY(lives_.enter(id, LifeState::kSaving, "final snapshot"));
      if (const auto made = snapshot(id, true); !made)
        log::warn("{}: stopped without a final snapshot: {}", id, made.error().describe());
    }
  }
  return settle(id, {}, LifeState::kStopped);
}

Result<std::optional<std::string>> Lifecycle::snapshot(const std::string& id, bool automatic) {
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  PROJFS_ASSIGN(const bool changed, shown->engine().changed());
  if (!changed) return std::nullopt;
  PROJFS_ASSIGN(const auto made, shown->make("", automatic));
  log::info("{}: made the snapshot {}", id, made.name);
  return made.name;
}

Result<std::optional<std::string>> Lifecycle::save(const std::string& id,
                                                   const Progress& progress) {
  PROJFS_TRY(store_.show(id));
  const auto before = state(id);
  PROJFS_TRY(lives_.enter(id, LifeState::kSaving, "snapshot"));
  tell(progress, 0, "snapshot");
  if (const auto at = mounts_.mountpoint(id)) flush_mapped_pages(*at);
  auto made = snapshot(id, false);
  Status synced;
  if (made) {
    lives_.step(id, "syncing", 0.5);
    tell(progress, 0.5, "syncing");
    synced = store_.sync();
  }
  // A save that failed leaves the project as usable as it was.
  const auto back = before.state == LifeState::kError ? LifeState::kError : before.state;
  (void)lives_.enter(id, back, {}, before.error);
  if (!synced) return tl::unexpected(std::move(synced).error());
  return made;
}

Status Lifecycle::restore() {
  return mounts_.restore([this](const std::string& id, const std::function<Status()>& mount) {
    // An unknown project is for the mount table to drop.
    if (const auto known = store_.show(id); !known) return mount();
    if (auto entered = lives_.enter(id, LifeState::kRestarting, "mounting"); !entered) {
      log::warn("{}: {}", id, entered.error().describe());
    }
    auto whole = check(id);
    return settle(id, whole ? mount() : std::move(whole), LifeState::kRunning);
  });
}

}  // namespace projfs
