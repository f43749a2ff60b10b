// SPDX-License-Identifier: MIT
//
// Imports into one project take turns. One whose client went away goes on until it notices: were
// another let in meanwhile, both would write the same files.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "projfs/result.h"

namespace projfs {

class ImportTurns {
 public:
  // As long as it lives, no other import into the project begins. The ImportTurns must outlive it.
  using Turn = std::shared_ptr<const void>;

  // Waits for its turn. `goes_on` is asked several times a second; once false: ECANCELED.
  Result<Turn> wait(const std::string& id, const std::function<bool()>& goes_on);

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::set<std::string> busy_;
};

}  // namespace projfs
