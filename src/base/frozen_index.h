// SPDX-License-Identifier: MIT
//
// The database as it is now, readable for as long as this lives. What is removed meanwhile takes
// space until then.
#pragma once

#include "projfs/database.h"

namespace projfs {

class FrozenIndex {
 public:
  explicit FrozenIndex(const Database& db) : db_(db), snapshot_(db.raw().GetSnapshot()) {}
  ~FrozenIndex() { db_.raw().ReleaseSnapshot(snapshot_); }
  FrozenIndex(const FrozenIndex&) = delete;
  FrozenIndex& operator=(const FrozenIndex&) = delete;
  [[nodiscard]] const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  const Database& db_;
  const rocksdb::Snapshot* const snapshot_;
};

}  // namespace projfs
