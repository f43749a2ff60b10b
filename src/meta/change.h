// SPDX-License-Identifier: MIT
//
// One atomic change of a project's records, versioned by epoch.
//
// The rule (DESIGN, metadata): a live record carries the epoch in which its version was `born`. The
// first change of a record after a snapshot moves the old version to the history family under
// (key, last), last being the newest snapshot's epoch; later changes in the same epoch overwrite in
// place. The changes family gets (project, epoch, key) when a record is first touched in an epoch.
// In a project's first epoch everything is new, so no change list is kept for it, and the live path
// pays nothing at all.
//
// What an epoch's changes of data amount to may be committed only after the epoch was closed (they
// were staged). A Change for a closed epoch does that; a version that is already younger stays as
// young as it is.
#pragma once

#include <rocksdb/write_batch.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "meta/live_value.h"
#include "meta/version_chain.h"
#include "meta/view.h"
#include "projfs/database.h"

namespace projfs::meta {

// Where a project stands in time. Constant while any Change of the project is being built.
struct EpochState {
  Epoch current = 1;        // every change belongs to it
  Epoch last_snapshot = 0;  // the newest epoch before it that a snapshot keeps; 0: none
  bool removing = false;    // history of deleted snapshots is being removed
};

// What a record was at the end of an epoch, where the index does not say so.
struct PastVersion {
  Epoch epoch = 0;
  std::string payload;
};

class Change {
 public:
  // `head`: of a project that may have a base (lineage.h); it outlives the change.
  Change(Database& db, ProjectNo project, EpochState epochs, const View* head = nullptr)
      : db_(db),
        project_(project),
        epochs_(epochs),
        head_(head != nullptr && head->base() != nullptr ? head : nullptr) {}

  // What happened to the version that was there before.
  enum class Old { kNone, kReplaced, kKept };  // kept: a snapshot still sees it, in history

  // `born`: the epoch of the present version if the caller knows it (0: knows there is none);
  // otherwise it is looked up when it matters.
  Result<Old> put(std::string_view key, std::string_view payload,
                  std::optional<Epoch> born = std::nullopt);
  Result<Old> remove(std::string_view key, std::optional<Epoch> born = std::nullopt);

  // As put(), for a record whose version in the index lags behind: snapshots taken since it was
  // written must see `past`, oldest first, none of it older than `born`. REQUIRES: the present
  // version exists, and nothing else in this change touches the key.
  Status put_over(std::string_view key, std::string_view payload, Epoch born,
                  std::span<const PastVersion> past);

  // Whether the present version is the base's, so that the references in it are not the project's.
  [[nodiscard]] Result<bool> inherits(std::string_view key) const;

  [[nodiscard]] const EpochState& epochs() const { return epochs_; }

  // Adds to the project's counters.
  void count(std::int64_t bytes, std::int64_t inodes);

  // The epoch in which a version that moves to history, up to `last`, is to count as born.
  [[nodiscard]] Result<Epoch> born_in_history(Epoch born, Epoch last) const;
  // What the change means for history; becomes part of the counters at commit().
  [[nodiscard]] HistoryDelta& history() { return history_; }

  [[nodiscard]] rocksdb::WriteBatch& batch() { return batch_; }
  Status commit();

 private:
  Result<Old> preserve(std::string_view key, std::optional<Epoch> born);
  [[nodiscard]] Result<std::optional<LiveValue>> present(std::string_view key) const {
    return head_ != nullptr ? head_->find(key) : get_live(db_, key);
  }

  Database& db_;
  ProjectNo project_;
  EpochState epochs_;
  const View* head_;  // null: there is no base
  CounterVector counters_{};
  HistoryDelta history_;
  rocksdb::WriteBatch batch_;
};

[[nodiscard]] std::string change_key(ProjectNo project, Epoch epoch, std::string_view key);
[[nodiscard]] std::string history_key(std::string_view key, Epoch last);

}  // namespace projfs::meta
