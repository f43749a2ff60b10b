// SPDX-License-Identifier: MIT
//
// Keeps what RocksDB replays from its logs a prefix of what was committed. After a power cut a log
// may lack its end, or have zeros where a page was never written, while later records, or a later
// log, are whole. RocksDB takes both for the clean end of a log and goes on behind the hole.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/wal_filter.h>

#include <memory>

namespace projfs {

// Drops records behind a gap in the sequence numbers. RocksDB numbers the entries of all batches
// without gaps, as long as every write goes to the log. For one opening of a database.
class ContiguousLogs final : public rocksdb::WalFilter {
 public:
  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& name,
                                     const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch* new_batch, bool* changed) override;
  [[nodiscard]] const char* Name() const override { return "projfs.ContiguousLogs"; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  std::uint64_t next_ = 0;  // 0: nothing seen yet
  std::uint64_t dropped_ = 0;
};

// An Env that shows a log whose first record was never written as empty: there the filter has no
// number to expect. `base` must outlive the result.
std::unique_ptr<rocksdb::Env> hide_headless_logs(rocksdb::Env& base);

}  // namespace projfs
