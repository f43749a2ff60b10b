// SPDX-License-Identifier: MIT
//
// Removes chunks that nobody refers to. One call at a time.
#pragma once

#include <mutex>
#include <string>

#include "chunk/core.h"

namespace projfs::chunks {

class Collector {
 public:
  explicit Collector(Core& core) : core_(core) {}

  Result<bool> collect(std::size_t max_chunks);

 private:
  struct Candidates {
    std::vector<ChunkNo> chunks;
    std::vector<std::string> keys;  // all entries of kDead that named them when we looked
    bool more = false;
  };

  Status settle_leftovers(std::size_t most, bool& more);
  Result<Candidates> next(std::size_t most);
  // Removes what can be of the candidates; how many.
  Result<std::size_t> remove(const Candidates& candidates);

  Core& core_;
  std::mutex mutex_;    // guards the rest
  std::string cursor_;  // where the walk over kDead goes on; past what earlier calls removed
};

}  // namespace projfs::chunks
