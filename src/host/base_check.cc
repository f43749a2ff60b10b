// SPDX-License-Identifier: MIT
#include "host/base_check.h"

#include <map>
#include <set>
#include <tuple>

#include "meta/project_record.h"
#include "meta/snapshot_record.h"

namespace projfs::host {
namespace {

using meta::Epoch;
using meta::ProjectNo;

class BaseCheck {
 public:
  BaseCheck(const Database& db, const rocksdb::Snapshot* at, meta::Lineages& lineages,
            const std::function<void(const std::string&)>& problem)
      : db_(db), at_(at), lineages_(lineages), problem_(problem) {}

  Status run() {
    PROJFS_TRY(read_bases());
    PROJFS_TRY(read_pins());
    PROJFS_TRY(read_snapshots());
    return read_tombstones();
  }

 private:
  using Visitor = std::function<Status(std::string_view rest, std::string_view value)>;
  Status each(Family family, const std::string& prefix, const Visitor& visit) {
    const auto it = db_.scan(family, nullptr, at_);
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
      PROJFS_TRY(visit(it->key().ToStringView().substr(prefix.size()), it->value().ToStringView()));
    }
    return from_rocksdb(it->status(), "checking clones");
  }
  [[nodiscard]] static std::string name_of(ProjectNo clone) {
    return "the clone with the number " + std::to_string(clone);
  }

  Status read_bases() {
    return each(
        Family::kSystem, "base/", [&](std::string_view rest, std::string_view value) -> Status {
          const auto clone = Reader(rest).be64();
          const auto base = meta::BaseRecord::decode(value);
          if (!base) {
            problem_("the base of " + name_of(clone) + " does not decode");
            return {};
          }
          bases_.emplace(clone, *base);
          PROJFS_ASSIGN(const auto alive, db_.get(Family::kSystem, meta::project_key(clone), at_));
          PROJFS_ASSIGN(const auto dead,
                        db_.get(Family::kSystem, meta::project_dead_key(clone), at_));
          if (!alive && !dead) problem_(name_of(clone) + " has a base but is no project");
          if (base->copied) return {};
          needed_.emplace(base->project, base->epoch, clone);
          PROJFS_ASSIGN(
              const auto kept,
              db_.get(Family::kSystem, meta::snapshot_key(base->project, base->epoch), at_));
          if (!kept) problem_("the base of " + name_of(clone) + " is not kept readable");
          return {};
        });
  }

  Status read_pins() {
    std::set<std::tuple<ProjectNo, Epoch, ProjectNo>> pins;
    PROJFS_TRY(
        each(Family::kSystem, "base.pin/", [&](std::string_view rest, std::string_view) -> Status {
          Reader in(rest);
          const auto parent = in.be64();
          const auto epoch = in.be64();
          pins.emplace(parent, epoch, in.be64());
          return {};
        }));
    for (const auto& pin : needed_) {
      if (!pins.contains(pin)) problem_("the base of " + name_of(std::get<2>(pin)) + " has no pin");
    }
    for (const auto& pin : pins) {
      if (!needed_.contains(pin))
        problem_("project number " + std::to_string(std::get<0>(pin)) + " keeps an epoch for " +
                 name_of(std::get<2>(pin)) + ", which does not need it");
    }
    return {};
  }

  Status read_snapshots() {
    return each(
        Family::kSystem, "snap/", [&](std::string_view rest, std::string_view value) -> Status {
          Reader in(rest);
          const auto project = in.be64();
          const auto epoch = in.be64();
          const auto record = meta::SnapshotRecord::decode(value);
          if (!record || record->flags != meta::SnapshotRecord::kHidden) return {};
          PROJFS_ASSIGN(const auto dead,
                        db_.get(Family::kSystem, meta::project_dead_key(project), at_));
          if (dead) return {};  // all of it goes
          const auto pin = needed_.lower_bound({project, epoch, 0});
          if (pin == needed_.end() || std::get<0>(*pin) != project || std::get<1>(*pin) != epoch)
            problem_("project number " + std::to_string(project) + " keeps epoch " +
                     std::to_string(epoch) + " for nobody");
          return {};
        });
  }

  // A tombstone hides something of a base, or is about to be removed.
  Status read_tombstones() {
    return each(Family::kLive, {}, [&](std::string_view key, std::string_view value) -> Status {
      if (value != meta::kTombstone) return {};
      const auto clone = Reader(key).be64();
      const auto base = bases_.find(clone);
      if (base == bases_.end()) {
        PROJFS_ASSIGN(const auto dead,
                      db_.get(Family::kSystem, meta::project_dead_key(clone), at_));
        if (!dead)
          problem_("project number " + std::to_string(clone) + " has a tombstone and no base");
        return {};
      }
      if (base->second.copied) return {};
      PROJFS_ASSIGN(auto lineage, lineages_.of(clone));
      PROJFS_ASSIGN(const bool hides,
                    meta::View(db_, meta::kHead, std::move(lineage), at_).base_has(key));
      if (!hides) problem_(name_of(clone) + " has a tombstone that hides nothing");
      return {};
    });
  }

  const Database& db_;
  const rocksdb::Snapshot* at_;
  meta::Lineages& lineages_;
  const std::function<void(const std::string&)>& problem_;
  std::map<ProjectNo, meta::BaseRecord> bases_;
  std::set<std::tuple<ProjectNo, Epoch, ProjectNo>> needed_;
};

}  // namespace

Status check_bases(const Database& db, const rocksdb::Snapshot* at, meta::Lineages& lineages,
                   const std::function<void(const std::string&)>& problem) {
  return BaseCheck(db, at, lineages, problem).run();
}

}  // namespace projfs::host
