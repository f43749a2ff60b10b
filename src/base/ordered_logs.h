// SPDX-License-Identifier: MIT
//
// Keeps batches durable in commit order across RocksDB's log files. RocksDB goes on in a new log
// without syncing the old one. If power fails before a background sync of the old one, the end of
// the old log may be missing while the new one is whole; recovery takes the old log's end for a
// clean one, and replays the new log behind a hole. So the old log is synced before a new one is
// made.
#pragma once

#include <rocksdb/env.h>

#include <memory>

namespace projfs {

// `base` must outlive the result.
std::unique_ptr<rocksdb::Env> order_logs(rocksdb::Env& base);

}  // namespace projfs
