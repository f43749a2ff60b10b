// SPDX-License-Identifier: MIT
//
// Compares what clones say of their bases with what the bases keep for them.
#pragma once

#include <functional>
#include <string>

#include "meta/lineage.h"

namespace projfs::host {

// Calls `problem` with a sentence for whatever disagrees, in the view `at` of the index. `lineages`
// are as of the same view.
Status check_bases(const Database& db, const rocksdb::Snapshot* at, meta::Lineages& lineages,
                   const std::function<void(const std::string&)>& problem);

}  // namespace projfs::host
