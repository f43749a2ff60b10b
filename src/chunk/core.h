// SPDX-License-Identifier: MIT
//
// What the operations of a chunk store share. Lock order: `life`, `commit`, then the locks inside
// the members, which never call out.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "chunk/block_cache.h"
#include "chunk/chunker.h"
#include "chunk/damage.h"
#include "chunk/index.h"
#include "chunk/ledger.h"
#include "chunk/packs.h"
#include "projfs/chunk_store.h"

namespace projfs::chunks {

struct Core {
  Core(Env& e, Database& d, std::string directory, const ChunkStore::Options& o)
      : env(e),
        db(d),
        options(o),
        chunker(o.average_chunk),
        index(d),
        packs(e, std::move(directory), o.pack_bytes),
        cache(o.block_cache_bytes),
        damage(d),
        ledger(d) {}

  Env& env;
  Database& db;
  const ChunkStore::Options options;
  const Chunker chunker;
  const Index index;
  Packs packs;
  BlockCache cache;
  Damage damage;
  Ledger ledger;

  // Shared while a round of ingestion finds a chunk and pins it; exclusive while chunks without
  // references are removed. So a pinned chunk exists, and stays.
  std::shared_mutex life;
  std::mutex commit;  // held to build and commit a batch that changes records or counters

  std::atomic<std::uint64_t> hash_commits{0};  // batches that added to the hash index
  std::atomic<std::uint64_t> removals{0};      // batches that removed or moved chunks

  // Chunks that live rounds of ingestion returned. The list is guarded by `pins_mutex`; what it
  // points to is written under `life` (shared, by its own round) and read under `life` (exclusive).
  std::mutex pins_mutex;
  std::list<const Intervals*> pins;

  // Chunks committed by rounds that a crash ended, by the number in the key of their marker.
  std::mutex leftovers_mutex;
  std::map<std::uint64_t, Intervals> leftovers;

  [[nodiscard]] bool healthy(const ChunkRecord& r) const {
    return packs.has(r.block.pack, r.block.offset + r.block.stored) && !damage.contains(r.block);
  }

  // Chunk numbers are given out in leases, so that the chunks of one round are neighbours.
  ChunkNo lease(std::uint64_t count);
  // Gives the unused part [first, end) of a lease back, where that is still possible.
  void give_back(ChunkNo first, ChunkNo end);
  [[nodiscard]] ChunkNo next_number();
  void set_next_number(ChunkNo n);

  std::uint64_t dead_token() { return tokens_.fetch_add(1, std::memory_order_relaxed); }
  void set_first_token(std::uint64_t t) { tokens_ = t; }

  // Makes candidates of those of `numbers` that nobody refers to, then drops the marker. Stops
  // after about `most` numbers with true; `numbers` is then what remains, as is the marker.
  Result<bool> settle(std::uint64_t marker, Intervals& numbers, std::size_t most);

  // Removes a pack that no record names. REQUIRES: retired.
  Status remove_pack(std::uint64_t pack);

 private:
  std::mutex numbers_mutex_;
  ChunkNo next_ = 1;
  std::atomic<std::uint64_t> tokens_{0};
};

}  // namespace projfs::chunks
