// SPDX-License-Identifier: MIT
//
// Decompressed, verified blocks kept for reading: least recently used first to go, in independent
// shards so that readers rarely meet. Pack numbers are never reused while a store is open, so an
// entry never turns stale.
#pragma once

#include <array>
#include <list>
#include <mutex>
#include <unordered_map>

#include "chunk/block.h"

namespace projfs::chunks {

class BlockCache {
 public:
  explicit BlockCache(std::uint64_t bytes) : shard_bytes_(bytes / kShards) {}

  [[nodiscard]] BlockPtr get(const BlockPlace& place);
  void put(const BlockPlace& place, BlockPtr block);
  void clear();

 private:
  struct Key {
    std::uint64_t pack, offset;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return (k.pack * 0x9e3779b97f4a7c15 + k.offset) * 0xff51afd7ed558ccd >> 20;
    }
  };
  struct Shard {
    std::mutex mutex;
    std::list<std::pair<Key, BlockPtr>> order;  // most recently used first
    std::unordered_map<Key, decltype(order)::iterator, Hash> index;
    std::uint64_t bytes = 0;
  };
  static constexpr std::size_t kShards = 8;

  Shard& shard_of(const Key& key) { return shards_[Hash()(key) % kShards]; }

  const std::uint64_t shard_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace projfs::chunks
