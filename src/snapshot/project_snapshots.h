// SPDX-License-Identifier: MIT
//
// The snapshots of a project on a local store. Making one closes an epoch and touches no inode:
//   1. what is staged and committed so far is synced, so that little is left for later
//   2. alone (Project::quiesce): the snapshot's record, marked unfinished, with the sequence number
//      of the last staged record, and the next epoch, in one batch; writers wait for this only
//   3. synced again; the record loses its mark and is synced. A crash before this leaves an
//      unfinished snapshot, which opening the project removes: it was never acknowledged.
//
// Lock order: mutex_ before all locks of the file system.
#pragma once

#include <map>
#include <mutex>

#include "fs/engine.h"
#include "fs/project.h"
#include "meta/snapshot_record.h"
#include "projfs/snapshots.h"
#include "snapshot/pauses.h"
#include "snapshot/snapshot_volume.h"

namespace projfs::snapshot {

class ProjectSnapshots final : public Snapshots {
 public:
  // `deleted` is called when there is history to be removed.
  ProjectSnapshots(const fs::Engine& engine, std::shared_ptr<fs::Project> project, Pauses& pauses,
                   std::function<void()> deleted)
      : engine_(engine),
        project_(std::move(project)),
        pauses_(pauses),
        deleted_(std::move(deleted)) {}

  Result<SnapshotInfo> create(std::string_view name, bool automatic) override;
  Result<bool> changed() override;
  Status remove(std::string_view name) override;
  Status rename(std::string_view name, std::string_view new_name) override;
  Status set_held(std::string_view name, bool held) override;
  Result<SnapshotInfo> find(std::string_view name) override;
  Result<SnapshotInfo> by_number(std::uint64_t number) override;
  Result<std::vector<SnapshotInfo>> list() override;
  Status each(std::uint64_t after, const Sink& sink) override;
  [[nodiscard]] std::uint64_t count() override;
  Result<std::shared_ptr<Volume>> volume(std::uint64_t number) override;
  Status diff(std::uint64_t from, std::optional<std::uint64_t> to, const DifferenceSink& sink,
              const std::function<void(double)>& progress) override;
  Result<SnapshotPolicy> policy() override;
  Status set_policy(const SnapshotPolicy& policy) override;

  // Somebody holds a volume of one of them.
  [[nodiscard]] bool in_use();

 private:
  Result<meta::Snapshot> get(std::string_view name);
  Result<std::optional<meta::Epoch>> epoch_of_key(const std::string& key);
  Result<SnapshotInfo> info(const meta::Snapshot& snapshot) const;
  Result<std::string> free_name(std::string_view wanted, std::int64_t now_ns);
  Status check_new_name(std::string_view name);
  Status check_history_quota();

  const fs::Engine& engine_;
  const std::shared_ptr<fs::Project> project_;
  Pauses& pauses_;
  const std::function<void()> deleted_;

  std::mutex mutex_;  // of changes to the table
  std::mutex volumes_mutex_;
  std::map<meta::Epoch, std::weak_ptr<SnapshotVolume>> volumes_;
};

}  // namespace projfs::snapshot
