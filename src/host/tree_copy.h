// SPDX-License-Identifier: MIT
//
// Copies whole trees between a host directory and a volume: data with its holes, names, hard links,
// symbolic links, special files, owners, modes, nanosecond times, extended attributes (ACLs are
// some). What exists and is the same (type, size, modification time) is not copied again, so an
// interrupted copy goes on where it was when run again.
//
// One file that cannot be copied does not stop the rest: it is named in the outcome. Lack of quota
// or space stops the copy and leaves what has been copied.
#pragma once

#include <sys/types.h>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs {

struct CopyProgress {
  std::uint64_t files = 0, files_total = 0;  // everything with a name counts
  std::uint64_t bytes = 0, bytes_total = 0;
};

struct CopyOutcome {
  static constexpr std::size_t kMaxProblems = 100;

  std::uint64_t files = 0, directories = 0, others = 0;  // others: links and special files
  std::uint64_t bytes = 0;                               // of file data written
  std::uint64_t unchanged = 0;                           // found there already, the same
  std::uint64_t failed = 0;
  std::vector<std::string> problems;  // sentences, the first kMaxProblems of `failed`

  void add_problem(std::string sentence) {
    ++failed;
    if (problems.size() < kMaxProblems) problems.push_back(std::move(sentence));
  }
};

struct CopyWatch {
  // Called often; false stops the copy with ECANCELED. May be empty.
  std::function<bool(const CopyProgress&)> progress;
  // Import only: `child` has been made or changed; `name`, unless empty, names it only now. May be
  // empty.
  std::function<void(Ino parent, std::string_view name, Ino child)> changed;
};

// Copies what is below `source` into the volume's root, whose owner, mode, times and attributes
// become those of `source`. Entries of the volume that `source` does not have stay. The source is
// only read. `skip_device`: a directory on this device is not descended into (the project's own
// mount).
Result<CopyOutcome> import_tree(Volume& volume, const std::string& source,
                                std::optional<dev_t> skip_device, const CopyWatch& watch);

// Copies the volume's tree into `target`: missing (its parent must exist), or an empty directory,
// or with `resume` one that holds an earlier, interrupted export. `expected` only serves progress.
Result<CopyOutcome> export_tree(Volume& volume, const std::string& target, bool resume,
                                const CopyProgress& expected, const CopyWatch& watch);

}  // namespace projfs
