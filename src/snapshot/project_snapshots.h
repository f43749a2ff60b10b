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
  // `deleted` is called when there is history to be removed, `orphaned` when the head may have
  // unlinked inodes that no kernel knows.
  ProjectSnapshots(const fs::Engine& engine, std::shared_ptr<fs::Project> project, Pauses& pauses,
                   std::function<void()> deleted, std::function<void()> orphaned)
      : engine_(engine),
        project_(std::move(project)),
        pauses_(pauses),
        deleted_(std::move(deleted)),
        orphaned_(std::move(orphaned)) {}

  Result<SnapshotInfo> create(std::string_view name, bool automatic) override;
  Result<bool> changed() override;
  Status remove(std::string_view name) override;
  Status rename(std::string_view name, std::string_view new_name) override;
  Result<SnapshotInfo> rollback(std::string_view name, const Changed& changed) override;
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

  // For a clone: `use` gets an epoch, all of whose records are in the index, and a batch to which
  // it adds what needs the epoch from then on, a pin among it; it commits the batch. Without a name
  // it is the present one, closed for that unless nothing changed since another was.
  using Use = std::function<Status(const meta::Snapshot& at, rocksdb::WriteBatch& batch)>;
  Status with_base(std::string_view name, const Use& use);
  // The clone does not need the epoch any more: commits that with what is in `batch`. `around` is
  // called to call what commits.
  using Around = std::function<Status(const std::function<Status()>& commit)>;
  Status release_base(meta::Epoch epoch, meta::ProjectNo clone, rocksdb::WriteBatch& batch,
                      const Around& around);

  // Somebody holds a volume of one of them.
  [[nodiscard]] bool in_use();

 private:
  Result<meta::Snapshot> get(std::string_view name);
  Result<std::optional<meta::Epoch>> epoch_of_key(const std::string& key);
  Result<SnapshotInfo> info(const meta::Snapshot& snapshot) const;
  Result<std::string> free_name(std::string_view wanted, const std::string& otherwise);
  // The newest snapshot to be, of no epoch yet.
  Result<meta::Snapshot> draft(std::string_view name, const std::string& prefix);
  // Closes the current epoch with it. REQUIRES: mutex_ and quiesce are held alone.
  Status close_with(rocksdb::WriteBatch& batch, meta::Snapshot& made);
  Result<meta::Snapshot> roll_back(std::string_view name);
  Status tell(meta::Epoch epoch, const Changed& changed);
  // The newest snapshot, if nothing changed after it.
  Result<std::optional<meta::Snapshot>> newest_before_changes(bool also_hidden);
  // REQUIRES: mutex_
  Status hide(rocksdb::WriteBatch& batch, meta::Snapshot snapshot);
  Status drop(rocksdb::WriteBatch& batch, const meta::Snapshot& snapshot);
  Status commit_drop(rocksdb::WriteBatch& batch, const meta::Snapshot& snapshot);
  Status check_new_name(std::string_view name);
  Status check_history_quota();

  const fs::Engine& engine_;
  const std::shared_ptr<fs::Project> project_;
  Pauses& pauses_;
  const std::function<void()> deleted_, orphaned_;

  std::mutex mutex_;  // of changes to the table
  std::mutex volumes_mutex_;
  std::map<meta::Epoch, std::weak_ptr<SnapshotVolume>> volumes_;
};

}  // namespace projfs::snapshot
