// SPDX-License-Identifier: MIT
//
// A project's records as they were at the end of an epoch. Reads what live and history hold between
// them, while the head goes on changing; keeps nothing.
//
// REQUIRES: a snapshot keeps the epoch readable.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "projfs/database.h"

namespace projfs::meta {

class View {
 public:
  // `frozen`: reads that state of the database, whatever changes later; null: the present one.
  View(const Database& db, Epoch at, const rocksdb::Snapshot* frozen = nullptr)
      : db_(db), at_(at), frozen_(frozen) {}

  [[nodiscard]] Epoch epoch() const { return at_; }

  // The value of `key`; nullopt: it did not exist then.
  [[nodiscard]] Result<std::optional<std::string>> get(std::string_view key) const;

  // Returns false to stop.
  using Visitor = std::function<Result<bool>(std::string_view key, std::string_view payload)>;
  // Every record of [begin, end) that existed, in the order of the keys.
  [[nodiscard]] Status scan(const std::string& begin, const std::string& end,
                            const Visitor& visit) const;

 private:
  const Database& db_;
  const Epoch at_;
  const rocksdb::Snapshot* const frozen_;
};

}  // namespace projfs::meta
