// SPDX-License-Identifier: MIT
//
// Brings a file or a tree back from where a snapshot has it. What is there already is never
// overwritten half: everything is written beside the target under another name, and renamed when it
// is complete. Data is copied by reference where the file system can (copy_file_range), so the size
// of a file does not matter.
//
// Owners, set-id bits and attributes that the caller may not set are left as they are and counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "projfs/result.h"

namespace projfs {

struct RestoreOptions {
  bool replace = false;  // a directory that is there is replaced as a whole
  // Asked between steps; true: stop, and leave nothing behind.
  std::function<bool()> stop;
  // Told now and then.
  std::function<void(std::uint64_t files, std::uint64_t bytes)> progress;
};

struct RestoreOutcome {
  std::uint64_t files = 0, directories = 0, others = 0;
  std::uint64_t bytes = 0;
  std::uint64_t not_kept = 0;  // entries of which owner, mode or some attribute could not be set
};

// `from` is not changed; the directory that `to` is in must exist. EEXIST, EISDIR, ENOTDIR with a
// sentence when what is at `to` will not be replaced; ECANCELED: stopped. On error `to` is what it
// was.
Result<RestoreOutcome> restore(const std::string& from, const std::string& to,
                               const RestoreOptions& options);

}  // namespace projfs
