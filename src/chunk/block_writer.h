// SPDX-License-Identifier: MIT
//
// Gathers chunks into blocks and appends them to the active pack. Compressible neighbours share a
// block; what does not compress becomes a raw block of its own, so that reading a part of it
// verifies no more than that chunk. One writer belongs to one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "chunk/block.h"
#include "chunk/packs.h"

namespace projfs::chunks {

class BlockWriter {
 public:
  struct Options {
    std::uint32_t block_bytes;
    int level;
  };
  // Told for every chunk, at the latest in flush(): `tag` as given to add(), its block, its offset.
  using Placed = std::function<void(std::size_t tag, const BlockPlace&, std::uint32_t offset)>;

  BlockWriter(Packs& packs, const Options& options, Placed placed)
      : packs_(packs), options_(options), placed_(std::move(placed)) {}

  Status add(Bytes chunk, std::size_t tag);
  // Writes the last, unfilled block too and makes all survive power loss.
  Status finish();
  // The index names the blocks now, or never will.
  void release() { holds_.clear(); }
  [[nodiscard]] std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  struct Member {
    std::size_t tag;
    std::uint32_t offset, length;
  };

  Status seal();
  Result<BlockPlace> write(Codec codec, Bytes payload, std::uint32_t raw);

  Packs& packs_;
  const Options options_;
  const Placed placed_;
  std::string open_;  // the block being gathered
  std::vector<Member> members_;
  std::string compressed_;
  std::vector<std::shared_ptr<File>> unsynced_;
  std::vector<PackHold> holds_;
  std::uint64_t bytes_written_ = 0;
};

}  // namespace projfs::chunks
