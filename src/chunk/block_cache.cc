// SPDX-License-Identifier: MIT
#include "chunk/block_cache.h"

namespace projfs::chunks {

BlockPtr BlockCache::get(const BlockPlace& place) {
  const Key key{place.pack, place.offset};
  auto& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.index.find(key);
  if (it == shard.index.end()) return nullptr;
  shard.order.splice(shard.order.begin(), shard.order, it->second);
  return it->second->second;
}

void BlockCache::put(const BlockPlace& place, BlockPtr block) {
  const Key key{place.pack, place.offset};
  const auto size = block->bytes().size();
  if (size > shard_bytes_) return;
  auto& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (shard.index.contains(key)) return;
  shard.order.emplace_front(key, std::move(block));
  shard.index[key] = shard.order.begin();
  shard.bytes += size;
  while (shard.bytes > shard_bytes_) {
    const auto& [old_key, old_block] = shard.order.back();
    shard.bytes -= old_block->bytes().size();
    shard.index.erase(old_key);
    shard.order.pop_back();
  }
}

void BlockCache::clear() {
  for (auto& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.index.clear();
    shard.order.clear();
    shard.bytes = 0;
  }
}

}  // namespace projfs::chunks
