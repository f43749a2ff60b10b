// SPDX-License-Identifier: MIT
//
// Where the records of a clone come from that it has none of itself.
//
// A clone has a *base*: another project as of the end of an epoch. A key that has no value in the
// clone's live family is inherited: it is what the base says, as if the clone had written it in its
// first epoch. Once the clone changes such a record it has a value of its own, and keeps one as
// long as it has the base: a removed record leaves a tombstone. So it is live alone that says what
// is inherited, and a record may be copied from the base at any time without anybody seeing it.
//
// A clone that has copied everything no longer needs its base: the lineage is cut. Only then
// tombstones go.
//
// In Family::kSystem:
//   "base/" clone (BE64)                          -> BaseRecord
//   "base.pin/" parent, epoch, clone (each BE64)  -> empty: keeps the epoch of the parent readable
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "meta/view.h"

namespace projfs::meta {

inline constexpr Epoch kInherited = 1;  // in which what a clone inherits was born

struct BaseRecord {
  ProjectNo project = 0;
  Epoch epoch = 0;
  Ino first_own = 0;     // inodes from here on are the clone's own
  bool copied = false;   // all of it is: the base is not read any more, tombstones are to go
  std::string position;  // the key at which copying, or the removal of tombstones, goes on

  [[nodiscard]] std::string encode() const;
  static std::optional<BaseRecord> decode(std::string_view data);
};
[[nodiscard]] std::string base_key(ProjectNo clone);
[[nodiscard]] std::string pin_key(ProjectNo parent, Epoch epoch, ProjectNo clone);
[[nodiscard]] Result<std::optional<BaseRecord>> get_base(const Database& db, ProjectNo clone,
                                                         const rocksdb::Snapshot* at = nullptr);
// Whether any clone but `besides` needs an epoch of a project; epoch 0: any epoch.
[[nodiscard]] Result<bool> is_pinned(const Database& db, ProjectNo parent, Epoch epoch,
                                     ProjectNo besides = 0);

struct Base {
  ProjectNo project;
  Epoch epoch;
  Ino first_own;
  View view;
};

class Lineage {
 public:
  explicit Lineage(Base base);

  // Null once it was cut. A base that somebody got stays valid as long as the lineage.
  [[nodiscard]] const Base* base() const { return base_.load(std::memory_order_acquire); }
  // How many bases there are, one behind the other.
  [[nodiscard]] unsigned depth() const;
  // REQUIRES: everything is copied.
  void cut() { base_.store(nullptr, std::memory_order_release); }

 private:
  const Base owned_;
  std::atomic<const Base*> base_;
};

// The lineages of a store: one for each clone, whoever looks through it.
class Lineages {
 public:
  // As of `at`, or as they are (null).
  explicit Lineages(const Database& db, const rocksdb::Snapshot* at = nullptr) : db_(db), at_(at) {}

  // Null: all records of the project are its own.
  Result<std::shared_ptr<Lineage>> of(ProjectNo project);
  void forget(ProjectNo project);

 private:
  Result<std::shared_ptr<Lineage>> find(ProjectNo project);

  const Database& db_;
  const rocksdb::Snapshot* const at_;
  std::mutex mutex_;
  std::map<ProjectNo, std::shared_ptr<Lineage>> known_;
};

}  // namespace projfs::meta
