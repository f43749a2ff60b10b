// SPDX-License-Identifier: MIT
//
// The Store on a local directory: puts the layers together. Split by theme: open_store.cc (making,
// opening, replay), projects.cc (the project table), clones.cc, maintenance.cc (background work),
// store_status.cc, check.cc.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "fs/engine.h"
#include "fs/ingester.h"
#include "fs/project_volume.h"
#include "fs/reclaimer.h"
#include "host/store_identity.h"
#include "projfs/store.h"
#include "snapshot/flattener.h"
#include "snapshot/pauses.h"
#include "snapshot/project_snapshots.h"
#include "snapshot/remover.h"

namespace projfs::host {

class LocalStore final : public Store {
 public:
  static Result<std::unique_ptr<LocalStore>> open(const std::string& directory,
                                                  const Options& options);
  ~LocalStore() override;

  Result<ProjectInfo> create(const ProjectSpec& spec) override;
  Result<ProjectInfo> clone(std::string_view source, std::string_view snapshot,
                            std::string_view id) override;
  Status destroy(std::string_view id) override;
  Result<std::vector<ProjectInfo>> list() override;
  Result<ProjectInfo> show(std::string_view id) override;
  Status set_quota(std::string_view id, const Quota& quota) override;
  Result<std::shared_ptr<Volume>> volume(std::string_view id) override;
  Result<std::shared_ptr<Snapshots>> snapshots(std::string_view id) override;

  Status verify_identity() override;
  Result<StoreStatus> status() override;
  [[nodiscard]] StoreStats stats() const override;
  Status ingest_all() override { return ingester_->ingest_all(); }
  Status sync() override;
  [[nodiscard]] std::optional<std::uint64_t> answered(const RequestId& request) const override {
    return answers_->find(request);
  }
  Status forget_answers() override { return answers_->forget_earlier(); }
  Status collect_garbage() override;
  Result<CheckReport> check(bool read_data, const std::function<void(double)>& progress) override;

 private:
  using ProjectPtr = std::shared_ptr<fs::Project>;
  struct Staged {  // a record that replay found still needed
    StageRecord record;
    StageSeq seq;
    StageRef ref;
  };

  LocalStore(std::string directory, const Options& options)
      : directory_(std::move(directory)),
        options_(options),
        still_mounted_(options.still_mounted) {}

  Status complete_rollbacks();
  Status recover(const std::vector<Staged>& staged);
  Result<bool> still_needed(const StageRecord& record, StageSeq seq);
  bool readable(meta::ProjectNo number);
  [[nodiscard]] static ProjectInfo damaged(meta::ProjectNo number, std::string_view id,
                                           const Error& error);
  // Unlinked inodes of the project that no kernel knows give their space back.
  void reclaim_soon(meta::ProjectNo number);
  Result<meta::ProjectNo> number_of(std::string_view id) const;  // ENOENT, EINVAL with a sentence
  Result<ProjectPtr> find(std::string_view id);
  Result<ProjectPtr> load(meta::ProjectNo number);  // REQUIRES: table_mutex_
  // REQUIRES: table_mutex_
  std::shared_ptr<snapshot::ProjectSnapshots> snapshots_of(const ProjectPtr& project);
  // The number of a project that is to be made. REQUIRES: table_mutex_
  Result<meta::ProjectNo> new_number(std::string_view id);
  void put_project(rocksdb::WriteBatch& batch, meta::ProjectNo number,
                   const meta::ProjectRecord& record);
  Status put_clone(rocksdb::WriteBatch& batch, meta::ProjectNo number, std::string_view id,
                   const fs::Project& source, const meta::Snapshot& at);
  [[nodiscard]] ProjectInfo info(const fs::Project& project) const;

  void maintain();
  Status maintain_once();
  Result<bool> purge_some();           // records of destroyed projects; true: more to do
  Result<bool> remove_history_some();  // of deleted snapshots; true: more to do
  // Clones that should no longer need their base; true: more to do.
  Result<bool> flatten_some();
  Result<std::optional<meta::ProjectNo>> next_to_flatten();
  Result<bool> wants_flattening(meta::ProjectNo clone, const meta::BaseRecord& base);
  // Commits what is in `batch`, with which the clone needs its base no more. `project`: the clone,
  // unless it is destroyed. REQUIRES: remover_mutex_
  Status release_base(meta::ProjectNo clone, const meta::BaseRecord& base,
                      rocksdb::WriteBatch& batch, fs::Project* project);
  Status purge_records(meta::ProjectNo number, bool& more);
  bool is_open(std::string_view id);

  const std::string directory_;
  const Options options_;
  StoreIdentity identity_;
  StoreLock lock_;

  // In the order of construction: each uses those above it.
  std::unique_ptr<Database> db_;
  std::unique_ptr<ChunkStore> chunks_;
  std::unique_ptr<Stage> stage_;
  std::unique_ptr<fs::InodeCache> inodes_;
  std::unique_ptr<fs::SpaceGauge> space_;
  std::unique_ptr<fs::IndexSync> index_sync_;
  std::unique_ptr<meta::Answers> answers_;
  std::unique_ptr<fs::Engine> engine_;
  std::unique_ptr<fs::Ingester> ingester_;
  std::unique_ptr<fs::Reclaimer> reclaimer_;  // none without background work

  std::uint64_t opened_at_ = 0;  // position in the index

  std::mutex table_mutex_;
  std::unique_ptr<meta::Lineages> lineages_;
  std::map<meta::ProjectNo, ProjectPtr> projects_;  // those in memory
  std::map<meta::ProjectNo, std::weak_ptr<fs::ProjectVolume>> volumes_;
  std::set<std::string, std::less<>> still_mounted_;  // and not opened yet
  std::map<meta::ProjectNo, std::weak_ptr<snapshot::ProjectSnapshots>> snapshots_;
  snapshot::Pauses pauses_;
  std::mutex remover_mutex_;
  std::unique_ptr<snapshot::Remover> remover_;  // at work, of remover_project_
  ProjectPtr remover_project_;
  std::unique_ptr<snapshot::Flattener> flattener_;  // at work; guarded by remover_mutex_
  std::atomic<bool> look_for_clones_{true};         // some may want flattening

  std::mutex maintenance_mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  // Positions in the index up to which there is nothing left to reclaim, and nothing to flush.
  std::uint64_t maintained_ = 0, flushed_ = 0;
  std::vector<std::weak_ptr<fs::ProjectVolume>> opened_;  // orphans of before to be reclaimed
  std::thread maintenance_;
};

}  // namespace projfs::host
