// SPDX-License-Identifier: MIT
//
// Starting, stopping and saving projects: the one way in which anybody mounts or unmounts them, so
// that the state of each is always known. The state is also the lock: while somebody is at work on
// a project, nobody else begins.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "host/life_records.h"
#include "host/mounts.h"
#include "host/snapshot_service.h"
#include "projfs/store.h"

namespace projfs {

class Lifecycle {
 public:
  // `directory`: where the states are kept. All references must outlive this object.
  Lifecycle(Store& store, Mounts& mounts, SnapshotService& snapshots, const std::string& directory);

  // What is being done, and how far it is.
  using Progress = std::function<void(double share, const std::string& step)>;

  struct Start {
    std::optional<std::string> mountpoint;  // none: below the projects root
    MountOptions options;
    bool again = false;  // a project that is running already is no error
  };
  // Checks that the project is whole and the store still the one that was opened, then mounts it.
  // On error it is in the state error, unless it was running, or somebody is at work on it (EBUSY).
  Status start(const std::string& id, const Start& how, const Progress& progress);

  struct Stop {
    bool force = false;  // also while it is in use: who uses it goes on, others see nothing
    bool save = false;   // with a last automatic snapshot, if its policy makes any
    bool again = false;  // a project that is stopped already is no error
  };
  // On return it is unmounted and all of it survives power loss. EBUSY names the processes that use
  // it; it goes on running then. ENOENT: it is not mounted.
  Status stop(const std::string& id, const Stop& how, const Progress& progress);

  // A snapshot, if anything changed since the last one, whatever the policy; durable on return.
  // The name of the snapshot, or nothing if none was needed.
  Result<std::optional<std::string>> save(const std::string& id, const Progress& progress);

  // Mounts what was mounted when the last daemon ended. Once, at start. What fails is logged, and
  // says so in its state.
  Status restore();

  [[nodiscard]] Life state(const std::string& id);
  void forget(const std::string& id) { lives_.forget(id); }
  // Who hears of every change; before anything is started.
  void listen(LifeRecords::Listener listener) { lives_.listen(std::move(listener)); }

 private:
  Status check(const std::string& id);
  // Ends a piece of work: in `to`, or in error with the sentence.
  Status settle(const std::string& id, Status done, LifeState to);
  Result<std::optional<std::string>> snapshot(const std::string& id, bool automatic);
  Error in_use(const std::string& id, Error error) const;

  Store& store_;
  Mounts& mounts_;
  SnapshotService& snapshots_;
  LifeRecords lives_;
};

}  // namespace projfs
