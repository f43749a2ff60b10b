// SPDX-License-Identifier: MIT
#include "snapshot/history_check.h"

#include <algorithm>
#include <map>
#include <vector>

#include "meta/change.h"
#include "meta/snapshot_record.h"
#include "meta/version_chain.h"

namespace projfs::snapshot {
namespace {

using meta::Epoch;

class HistoryCheck {
 public:
  HistoryCheck(const Database& db, const rocksdb::Snapshot* at, meta::ProjectNo project,
               const std::function<void(const std::string&)>& problem)
      : db_(db), at_(at), project_(project), problem_(problem) {}

  Status run() {
    PROJFS_TRY(read_table("snap/", true));
    PROJFS_TRY(read_table("snap.dead/", false));
    PROJFS_TRY(read_history());
    return compare();
  }

 private:
  Status read_table(std::string_view table, bool alive) {
    const auto end = meta::snapshot_table_key(table, project_ + 1, 0);
    const rocksdb::Slice upper(end);
    const auto it = db_.scan(Family::kSystem, &upper, at_);
    for (it->Seek(meta::snapshot_table_key(table, project_, 0)); it->Valid(); it->Next()) {
      const auto key = it->key().ToStringView();
      const auto epoch = Reader(key.substr(key.size() - 8)).be64();
      const auto record = meta::SnapshotRecord::decode(it->value().ToStringView());
      if (!record) {
        problem_("the record of the snapshot of epoch " + std::to_string(epoch) +
                 " does not decode");
        continue;
      }
      snapshots_[epoch] = 0;
      if (!alive) continue;
      alive_.push_back(epoch);
      if ((record->flags & meta::SnapshotRecord::kHidden) != 0) continue;
      for (const auto& lead : {meta::snapshot_name_key(project_, record->name),
                               meta::snapshot_number_key(project_, record->number)}) {
        PROJFS_ASSIGN(const auto value, db_.get(Family::kSystem, lead, at_));
        if (!value || Reader(*value).be64() != epoch)
          problem_("snapshot " + record->name + " is not found by its name or number");
      }
    }
    return from_rocksdb(it->status(), "reading the table of snapshots");
  }

  Status read_history() {
    const auto end = meta::project_prefix(project_ + 1);
    const rocksdb::Slice upper(end);
    const auto it = db_.scan(Family::kHistory, &upper, at_);
    std::string key;
    std::vector<meta::SegmentVersion> chain;
    for (it->Seek(meta::project_prefix(project_)); it->Valid(); it->Next()) {
      const auto raw = it->key().ToStringView();
      const auto value = meta::decode_live(it->value().ToStringView());
      meta::ParsedKey parsed;
      if (raw.size() < 8 || !value || !meta::parse_key(raw.substr(0, raw.size() - 8), parsed)) {
        problem_("a history record does not decode");
        continue;
      }
      const auto last = Reader(raw.substr(raw.size() - 8)).be64();
      if (value->born > last) problem_("a history record ends before it begins");
      if (parsed.kind != meta::Kind::kMap) continue;
      if (raw.substr(0, raw.size() - 8) != key) {
        PROJFS_TRY(add(key, chain));
        key = raw.substr(0, raw.size() - 8);
        chain.clear();
      }
      auto list = meta::ExtentList::decode(value->payload);
      if (!list) {
        problem_("a map segment in history does not decode");
        continue;
      }
      if (!chain.empty() && chain.back().last >= value->born)
        problem_("two versions of a map segment in history overlap");
      chain.push_back({value->born, last, std::move(*list)});
    }
    PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
    return add(key, chain);
  }

  Status add(const std::string& key, const std::vector<meta::SegmentVersion>& chain) {
    if (chain.empty()) return {};
    meta::ExtentList live;
    PROJFS_ASSIGN(const auto value, db_.get(Family::kLive, key, at_));
    if (value) {
      const auto decoded = meta::decode_live(*value);
      auto list = decoded ? meta::ExtentList::decode(decoded->payload) : std::nullopt;
      if (list) live = std::move(*list);  // else reported with the live records
      if (decoded && !decoded->removed() && decoded->born <= chain.back().last)
        problem_("a live map segment overlaps its history");
    }
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const auto& v = chain[i];
      const auto& next = i + 1 < chain.size() ? chain[i + 1].list : live;
      use_ += static_cast<std::int64_t>(meta::difference(v.list, next));
      auto seen = snapshots_.lower_bound(v.born);
      if (seen == snapshots_.end() || seen->first > v.last) {
        problem_("history holds a version that no snapshot sees");
        continue;
      }
      const auto after = std::next(seen);
      if (after != snapshots_.end() && after->first <= v.last) continue;
      seen->second += meta::saving(i == 0 ? nullptr : &chain[i - 1].list, v.list, next);
    }
    return {};
  }

  Status compare() {
    const auto counter = [&](const std::string& key, std::size_t member) -> Result<std::int64_t> {
      PROJFS_ASSIGN(const auto value, db_.get(Family::kCounters, key, at_));
      const auto values = decode_counters(value.value_or(std::string()));
      if (!values) return fail(EIO, "a counter does not decode");
      return (*values)[member];
    };
    PROJFS_ASSIGN(const auto use, counter(meta::usage_key(project_), meta::kHistoryBytes));
    if (use != use_)
      problem_("history keeps " + std::to_string(use_) + " bytes, the counter says " +
               std::to_string(use));
    for (const Epoch epoch : alive_) {
      PROJFS_ASSIGN(const auto freed, counter(meta::freed_key(project_, epoch), 0));
      if (freed != snapshots_[epoch])
        problem_("deleting the snapshot of epoch " + std::to_string(epoch) + " frees " +
                 std::to_string(snapshots_[epoch]) + " bytes, the counter says " +
                 std::to_string(freed));
    }
    return {};
  }

  const Database& db_;
  const rocksdb::Snapshot* at_;
  const meta::ProjectNo project_;
  const std::function<void(const std::string&)>& problem_;
  std::map<Epoch, std::int64_t> snapshots_;  // also deleted ones; what each alone keeps
  std::vector<Epoch> alive_;
  std::int64_t use_ = 0;
};

}  // namespace

Status check_history(const Database& db, const rocksdb::Snapshot* at, meta::ProjectNo project,
                     const std::function<void(const std::string&)>& problem) {
  return HistoryCheck(db, at, project, problem).run();
}

}  // namespace projfs::snapshot
