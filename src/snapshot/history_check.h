// SPDX-License-Identifier: MIT
//
// Recomputes the use of history and what each snapshot's deletion would free from the records
// themselves, and compares the table of snapshots with itself.
#pragma once

#include <functional>
#include <string>

#include "meta/keys.h"
#include "projfs/database.h"

namespace projfs::snapshot {

// Calls `problem` with a sentence for whatever disagrees, in one consistent view of the index.
Status check_history(const Database& db, const rocksdb::Snapshot* at, meta::ProjectNo project,
                     const std::function<void(const std::string&)>& problem);

}  // namespace projfs::snapshot
