// SPDX-License-Identifier: MIT
#include "host/import_turns.h"

#include <cerrno>
#include <chrono>

namespace projfs {

Result<ImportTurns::Turn> ImportTurns::wait(const std::string& id,
                                            const std::function<bool()>& goes_on) {
  std::unique_lock lock(mutex_);
  while (busy_.contains(id)) {
    ended_.wait_for(lock, std::chrono::milliseconds(100));
    if (!goes_on()) return fail(ECANCELED, "interrupted while another import into it was at work");
  }
  busy_.insert(id);
  return Turn(this, [this, id](const void*) {
    const std::lock_guard ending(mutex_);
    busy_.erase(id);
    ended_.notify_all();
  });
}

}  // namespace projfs
