// SPDX-License-Identifier: MIT
//
// The keys of the records that were touched in a range of epochs, each once, in their order: the
// lists of changes of all these epochs, merged. Memory is bounded, whatever the lists hold: each
// list is read in small pieces, the smaller the more lists there are.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "meta/keys.h"
#include "projfs/database.h"

namespace projfs::snapshot {

class ChangedKeys {
 public:
  // Those of epochs in (after, upto] in the state `at` of the database, and `more`, which is
  // sorted. Both must outlive this.
  ChangedKeys(const Database& db, const rocksdb::Snapshot* at, meta::ProjectNo project,
              meta::Epoch after, meta::Epoch upto, const std::vector<std::string>& more);

  Status begin();
  // Keys as in `live`; nullopt after the last.
  Result<std::optional<std::string>> next();

 private:
  struct List {
    meta::Epoch epoch = 0;
    std::vector<std::string> keys;  // the piece that was read
    std::size_t at = 0;
    bool all_read = false;
  };
  struct Later;

  Status find_lists();
  // Makes sure that there is a key to take, unless the list is at its end.
  Status fill(List& list);

  const meta::ProjectNo project_;
  const meta::Epoch after_, upto_;
  const std::vector<std::string>& more_;
  std::size_t next_more_ = 0;
  const std::string end_;
  const rocksdb::Slice upper_;
  const std::unique_ptr<rocksdb::Iterator> it_;
  std::vector<List> lists_;
  std::size_t piece_ = 0;
  std::vector<std::size_t> heap_;  // lists that are not at their end, the one with the least first
};

}  // namespace projfs::snapshot
