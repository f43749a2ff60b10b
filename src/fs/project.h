// SPDX-License-Identifier: MIT
//
// What all volumes' operations need to know of one project: its number, quota and use, epoch, free
// inode numbers, and the inodes without a name.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>
#include <vector>

#include "fs/quiesce.h"
#include "meta/change.h"
#include "meta/lineage.h"
#include "meta/project_record.h"
#include "projfs/database.h"
#include "projfs/stage.h"
#include "projfs/volume.h"

namespace projfs::fs {

class Project {
 public:
  // Reads the project's record, counters and orphan list. ENOENT: no such number. `lineage`: null
  // unless it is a clone that has a base.
  static Result<std::shared_ptr<Project>> load(Database& db, meta::ProjectNo number,
                                               std::shared_ptr<meta::Lineage> lineage = nullptr);

  // Its records as they are: the way to read live, also where a base is behind it.
  [[nodiscard]] const meta::View& head() const { return head_; }
  // Its records as of the end of an epoch.
  [[nodiscard]] meta::View view_at(const Database& db, meta::Epoch epoch) const {
    return {db, epoch, lineage_};
  }
  [[nodiscard]] const std::shared_ptr<meta::Lineage>& lineage() const { return lineage_; }

  [[nodiscard]] meta::ProjectNo number() const { return number_; }
  [[nodiscard]] const std::string& id() const { return record_.id; }
  [[nodiscard]] const meta::ProjectRecord& record() const { return record_; }
  [[nodiscard]] std::uint64_t name_seed() const { return record_.name_seed; }
  [[nodiscard]] const std::string& dedup_key() const { return record_.dedup_key; }

  // --- quota ---
  // Reserves what an operation will use, exactly and at once: false (and nothing reserved) if it
  // would exceed the quota. Amounts given back are plain subtractions and cannot fail.
  [[nodiscard]] bool charge(std::uint64_t bytes, std::uint64_t inodes);
  void refund(std::uint64_t bytes, std::uint64_t inodes);
  // What is in use changes by this, whatever the quota says.
  void adjust(std::int64_t bytes, std::int64_t inodes) {
    used_bytes_ += static_cast<std::uint64_t>(bytes);
    used_inodes_ += static_cast<std::uint64_t>(inodes);
  }
  // Counts what was charged before a restart, whatever the quota says now.
  void adopt(std::uint64_t bytes) { used_bytes_ += bytes; }
  [[nodiscard]] Usage usage() const {
    return {used_bytes_.load(), used_inodes_.load(),
            static_cast<std::uint64_t>(history_bytes_.load())};
  }
  [[nodiscard]] Quota quota() const;
  Status set_quota(Database& db, const Quota& quota);

  // Data of this project in the stage.
  std::atomic<std::uint64_t> staged_bytes{0};

  // While data is held, changes of data that begin wait, so that what is staged comes to an end.
  void hold_data();
  void release_data();
  void wait_while_held() const;

  // --- epochs ---
  // Held shared by every change while it is built and committed, alone to close an epoch.
  Quiesce quiesce;
  [[nodiscard]] meta::EpochState epochs() const {
    return {record_.epoch, record_.last_snapshot, removes_history_};
  }
  // The same for what belongs to an earlier epoch but is committed only now.
  [[nodiscard]] Result<meta::EpochState> epochs_at(const Database& db, meta::Epoch epoch) const;
  // The epoch of a staged record, by the boundaries of the snapshots there are.
  [[nodiscard]] Result<meta::Epoch> epoch_of(const Database& db, StageSeq seq) const;
  // Ends the current epoch with the changes in `batch`, in one commit. O(1). REQUIRES: quiesce is
  // held alone.
  Status close_epoch(Database& db, rocksdb::WriteBatch& batch, bool snapshot);
  // Commits `batch`, after which `epoch` is the newest that a snapshot keeps (0: none is).
  // REQUIRES: quiesce is held alone.
  Status set_last_snapshot(Database& db, rocksdb::WriteBatch& batch, meta::Epoch epoch);
  // --- history ---
  // Held shared while a change of a file map is built and committed, alone by whoever removes
  // history: both look at neighbouring versions. Between quiesce and Inode::mutex.
  Quiesce history_gate;
  // False: there is no history at all, nor has any to be kept.
  [[nodiscard]] bool keeps_history() const { return keeps_history_; }
  // The history of deleted snapshots is being removed.
  [[nodiscard]] bool removes_history() const { return removes_history_; }
  // REQUIRES: quiesce is held alone.
  void set_removes_history(bool removes) {
    removes_history_ = removes;
    keeps_history_ = removes || record_.last_snapshot != 0;
  }
  void add_history(std::int64_t bytes) { history_bytes_ += bytes; }

  // The newest staged record of the project.
  [[nodiscard]] StageSeq last_staged() const { return last_staged_.load(); }
  void staged(StageSeq seq) {
    auto now = last_staged_.load(std::memory_order_relaxed);
    while (now < seq && !last_staged_.compare_exchange_weak(now, seq)) {
    }
  }

  // --- inode numbers ---
  // A number never used before, also not by an operation that a crash undid.
  Result<Ino> next_ino(Database& db);

  // --- inodes without a name ---
  std::mutex rename_mutex;  // held by renames between directories: the tree's shape
  void add_orphan(Ino ino);
  void remove_orphan(Ino ino);
  [[nodiscard]] bool is_orphan(Ino ino) const;
  [[nodiscard]] std::vector<Ino> orphans() const;

 private:
  Project(const Database& db, std::shared_ptr<meta::Lineage> lineage)
      : lineage_(std::move(lineage)), head_(db, meta::kHead, lineage_) {}

  const std::shared_ptr<meta::Lineage> lineage_;
  const meta::View head_;
  meta::ProjectNo number_ = 0;
  meta::ProjectRecord record_;
  mutable std::mutex record_mutex_;  // of changes of record_ (quota; epoch also under quiesce)

  Status abandon_unfinished_snapshot(Database& db);
  Status change_record(Database& db, rocksdb::WriteBatch& batch, meta::ProjectRecord next);

  std::atomic<bool> held_{false};
  mutable std::mutex held_mutex_;
  mutable std::condition_variable released_;

  std::atomic<StageSeq> last_staged_{0};
  std::atomic<std::int64_t> history_bytes_{0};
  std::atomic<bool> keeps_history_{false}, removes_history_{false};
  std::atomic<std::uint64_t> used_bytes_{0}, used_inodes_{0};
  std::atomic<std::uint64_t> quota_bytes_{kUnlimited}, quota_inodes_{kUnlimited};

  std::mutex ino_mutex_;
  Ino next_ino_ = 0;
  Ino reserved_ino_ = 0;

  mutable std::mutex orphan_mutex_;
  std::atomic<std::size_t> orphan_count_{0};
  std::unordered_set<Ino> orphans_;
};

}  // namespace projfs::fs
