// SPDX-License-Identifier: MIT
#include "meta/change.h"

#include <algorithm>

#include "meta/snapshot_record.h"

namespace projfs::meta {

std::string change_key(ProjectNo project, Epoch epoch, std::string_view key) {
  std::string out;
  put_be64(out, project);
  put_be64(out, epoch);
  out.append(key.substr(8));
  return out;
}

std::string history_key(std::string_view key, Epoch last) {
  std::string out(key);
  put_be64(out, last);
  return out;
}

Result<Change::Old> Change::preserve(std::string_view key, std::optional<Epoch> born) {
  if (epochs_.current == 1) return born == 0 ? Old::kNone : Old::kReplaced;
  if (born && *born >= epochs_.current) return Old::kReplaced;
  std::optional<LiveValue> old;
  if (!born || *born != 0) {
    PROJFS_ASSIGN(old, present(key));
  }
  if (old && old->born == epochs_.current) return Old::kReplaced;
  batch_.Put(db_.family(Family::kChanges), change_key(project_, epochs_.current, key), {});
  if (!old) return Old::kNone;
  if (old->born > epochs_.last_snapshot) return Old::kReplaced;  // no snapshot saw it
  PROJFS_ASSIGN(const auto born_then, born_in_history(old->born, epochs_.last_snapshot));
  batch_.Put(db_.family(Family::kHistory), history_key(key, epochs_.last_snapshot),
             encode_live(born_then, old->payload));
  return Old::kKept;
}

Result<Epoch> Change::born_in_history(Epoch born, Epoch last) const {
  return epochs_.removing ? born_without_dead(db_, project_, born, last) : Result<Epoch>(born);
}

Result<Change::Old> Change::put(std::string_view key, std::string_view payload,
                                std::optional<Epoch> born) {
  PROJFS_ASSIGN(const Old old, preserve(key, born));
  batch_.Put(db_.family(Family::kLive), rocksdb::Slice(key.data(), key.size()),
             encode_live(std::max(epochs_.current, born.value_or(0)), payload));
  return old;
}

Status Change::put_over(std::string_view key, std::string_view payload, Epoch born,
                        std::span<const PastVersion> past) {
  PROJFS_ASSIGN(auto version, present(key));
  if (!version) return fail(EIO, "a record that changes is not in the index");
  version->born = born;
  // The last snapshot before `next`, if it is one that saw `version`, keeps it.
  const auto retire = [&](const LiveValue& old, Epoch next, Epoch newest_before_next) -> Status {
    if (next != 1) batch_.Put(db_.family(Family::kChanges), change_key(project_, next, key), {});
    if (old.born > newest_before_next) return {};
    PROJFS_ASSIGN(const auto born_then, born_in_history(old.born, newest_before_next));
    batch_.Put(db_.family(Family::kHistory), history_key(key, newest_before_next),
               encode_live(born_then, old.payload));
    return {};
  };
  for (const auto& p : past) {
    if (p.epoch > version->born) {
      PROJFS_ASSIGN(const auto before, snapshot_at_or_before(db_, project_, p.epoch - 1));
      PROJFS_TRY(retire(*version, p.epoch, before ? before->epoch : 0));
    }
    version = LiveValue{p.epoch, p.payload};
  }
  if (version->born < epochs_.current)
    PROJFS_TRY(retire(*version, epochs_.current, epochs_.last_snapshot));
  batch_.Put(db_.family(Family::kLive), rocksdb::Slice(key.data(), key.size()),
             encode_live(epochs_.current, payload));
  return {};
}

Result<Change::Old> Change::remove(std::string_view key, std::optional<Epoch> born) {
  PROJFS_ASSIGN(const Old old, preserve(key, born));
  const rocksdb::Slice slice(key.data(), key.size());
  if (head_ != nullptr) {
    PROJFS_ASSIGN(const bool would_show, head_->base_has(key));
    if (would_show) {
      batch_.Put(db_.family(Family::kLive), slice,
                 rocksdb::Slice(kTombstone.data(), kTombstone.size()));
      return old;
    }
  }
  batch_.Delete(db_.family(Family::kLive), slice);
  return old;
}

Result<bool> Change::inherits(std::string_view key) const {
  if (head_ == nullptr) return false;
  PROJFS_ASSIGN(const auto own, db_.get(Family::kLive, key));
  return !own;
}

void Change::count(std::int64_t bytes, std::int64_t inodes) {
  counters_[kUsedBytes] += bytes;
  counters_[kUsedInodes] += inodes;
}

Status Change::commit() {
  if (counters_ != CounterVector{}) {
    batch_.Merge(db_.family(Family::kCounters), usage_key(project_), encode_counters(counters_));
  }
  history_.put(db_, batch_, project_);
  return db_.commit(batch_);
}

}  // namespace projfs::meta
