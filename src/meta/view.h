// SPDX-License-Identifier: MIT
//
// A project's records as they were at the end of an epoch, or as they are (kHead). Reads what live
// and history hold between them, and for a clone what it inherits (lineage.h), while the head goes
// on changing; keeps nothing.
//
// REQUIRES: a snapshot keeps the epoch readable.
//
// Thread safety: a View may be used from several threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "meta/live_value.h"
#include "projfs/database.h"

namespace projfs::meta {

class Lineage;
struct Base;

inline constexpr Epoch kHead = ~Epoch{0};

class View {
 public:
  // `lineage`: null if all records of the project are its own. `instant`: reads the index as of
  // then, null: as it is.
  View(const Database& db, Epoch at, std::shared_ptr<Lineage> lineage = nullptr,
       const rocksdb::Snapshot* instant = nullptr)
      : db_(&db), at_(at), lineage_(std::move(lineage)), instant_(instant) {}

  [[nodiscard]] Epoch epoch() const { return at_; }
  // What the project inherits from at present; null: from nothing.
  [[nodiscard]] const Base* base() const;

  // The value of `key`; nullopt: it did not exist then.
  [[nodiscard]] Result<std::optional<std::string>> get(std::string_view key) const;
  // The same with the epoch in which it was born.
  [[nodiscard]] Result<std::optional<LiveValue>> find(std::string_view key) const;
  // Whether the base has the record, whatever the project says.
  [[nodiscard]] Result<bool> base_has(std::string_view key) const;

  // Returns false to stop.
  using Visitor = std::function<Result<bool>(std::string_view key, std::string_view payload)>;
  // Every record of [begin, end) that existed, in the order of the keys.
  [[nodiscard]] Status scan(const std::string& begin, const std::string& end,
                            const Visitor& visit) const;

 private:
  friend class Cursor;
  struct Own {
    bool in_live = false;  // of whatever age, also a tombstone
    std::optional<LiveValue> value;
  };
  [[nodiscard]] Result<Own> own(std::string_view key) const;

  const Database* db_;
  Epoch at_;
  std::shared_ptr<Lineage> lineage_;
  const rocksdb::Snapshot* instant_;
};

}  // namespace projfs::meta
