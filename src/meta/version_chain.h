// SPDX-License-Identifier: MIT
//
// What history costs. The versions of a map segment form a chain: those in history, oldest first,
// then the live one. A version in history costs the bytes of its chunks that the next one in the
// chain does not have at the same place: history use is the sum of that. Taking a version out of
// the chain lowers the sum by its `saving`; a snapshot's "freed if deleted" is the sum of the
// savings of the versions that only it sees. What is stored are these sums alone, changed in the
// same batch as the chain.
//
// A snapshot whose history is still being removed counts as one until the remover was there: it
// cuts what it leaves behind out of the version's range of epochs.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/extent_list.h"
#include "meta/keys.h"
#include "projfs/database.h"

namespace projfs::meta {

// Bytes of chunks in `a` that `b` does not have at the same place.
[[nodiscard]] std::uint64_t difference(const ExtentList& a, const ExtentList& b);
// How much less the chain costs without `v` between `before` (null: none) and `after`.
[[nodiscard]] std::int64_t saving(const ExtentList* before, const ExtentList& v,
                                  const ExtentList& after);

struct SegmentVersion {
  Epoch born = 0, last = 0;
  ExtentList list;
};

// At most `most` versions in history, newest first, from the newest with `last` at or before
// `upto`.
[[nodiscard]] Result<std::vector<SegmentVersion>> versions_before(const Database& db,
                                                                  std::string_view key, Epoch upto,
                                                                  std::size_t most);
// At most `most` versions in history, oldest first, from the oldest with `last` at or after `from`.
[[nodiscard]] Result<std::vector<SegmentVersion>> versions_from(const Database& db,
                                                                std::string_view key, Epoch from,
                                                                std::size_t most);

// The snapshots, also those being removed, with an epoch in [born, last]; at most two.
[[nodiscard]] Result<std::vector<Epoch>> snapshots_within(const Database& db, ProjectNo project,
                                                          Epoch born, Epoch last);

// A version [born, last] moves to history while deleted snapshots' history is being removed: what
// `born` is to be, so that none of these counts for the version.
[[nodiscard]] Result<Epoch> born_without_dead(const Database& db, ProjectNo project, Epoch born,
                                              Epoch last);

// What a change of the chain adds to the counters.
struct HistoryDelta {
  std::int64_t use = 0;
  void free_with(Epoch snapshot, std::int64_t bytes);
  void put(const Database& db, rocksdb::WriteBatch& batch, ProjectNo project) const;

  std::vector<std::pair<Epoch, std::int64_t>> freed;  // by snapshot
};

// The live version `before` (born in `born`; empty: there was none) becomes `after`. `kept`: it
// moves to history, up to epoch `last`.
Status count_live_change(const Database& db, ProjectNo project, std::string_view key,
                         const ExtentList& before, Epoch born, const ExtentList& after,
                         std::optional<Epoch> kept_last, HistoryDelta& delta);

}  // namespace projfs::meta
