// SPDX-License-Identifier: MIT
//
// The chunk store: content-defined pieces of file data, each kept once, named by SHA-256 outside
// and by a 64-bit chunk number inside. Neighbouring chunks are compressed together as blocks in
// append-only pack files. Knows nothing of files or projects; a reference is just a count.
//
// Life of a chunk: Ingest::add() finds or creates it; Ingest::finish() makes its bytes durable and
// its index records committed with a count of zero; the caller then commits its own records
// together with add_reference(). A chunk whose count is zero and that no Ingest holds is removed by
// collect(), and its space comes back when its pack is compacted or emptied.
//
// Thread safety: everything may be called from several threads; one Ingest belongs to one thread.
#pragma once

#include <rocksdb/write_batch.h>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "projfs/bytes.h"
#include "projfs/database.h"
#include "projfs/env.h"
#include "projfs/result.h"

namespace projfs {

using ChunkNo = std::uint64_t;  // never reused; 0 is no chunk

struct ChunkHash {
  std::array<std::uint8_t, 32> bytes{};
  friend bool operator==(const ChunkHash&, const ChunkHash&) = default;
  friend auto operator<=>(const ChunkHash&, const ChunkHash&) = default;
};

// Whose chunks may be shared. With a non-empty key the SHA-256 is keyed (HMAC), so chunks are
// shared only by writers with the same key.
struct DedupScope {
  std::string key;
};

struct ChunkStoreStats {
  std::uint64_t chunks = 0;        // with an index record
  std::uint64_t unique_bytes = 0;  // their length before compression
  std::uint64_t pack_bytes = 0;    // on disk, dead space included
  std::uint64_t dead_bytes = 0;    // of pack_bytes, what collect() and compact() can give back
  std::uint64_t packs = 0;
};

// What check() recomputes; every entry is a sentence.
struct ChunkProblem {
  std::string what;
};

class ChunkStore {
 public:
  struct Options {
    std::uint32_t average_chunk = 8 << 10;    // power of two; min is a quarter, max eight times
    std::uint32_t block_bytes = 128 << 10;    // uncompressed size at which a block is closed
    int compression_level = 1;                // zstd
    std::uint64_t pack_bytes = 256ull << 20;  // size at which a pack is closed
    std::uint64_t block_cache_bytes = 48ull << 20;  // decompressed blocks kept for reading
  };

  // Opens the packs in `directory` (created if missing) with the index in `db`. Removes or
  // truncates what a crash left unreferenced. Cost: the number of packs, never of chunks.
  static Result<std::unique_ptr<ChunkStore>> open(Env& env, Database& db, std::string directory,
                                                  const Options& options);
  virtual ~ChunkStore() = default;

  // Cuts `data` into content-defined pieces: lengths that sum up to data.size(). The last one ends
  // where the data does, whatever its content, unless that is a content-defined end too.
  [[nodiscard]] virtual std::vector<std::uint32_t> cut(Bytes data) const = 0;

  // Collects new chunks. Between begin() and the destruction of the Ingest no chunk that it
  // returned is collected.
  class Ingest {
   public:
    virtual ~Ingest() = default;
    // The number of the chunk with this content: an existing, undamaged one, or a new one whose
    // bytes are kept until finish(). REQUIRES: 0 < data.size() <= eight times average_chunk.
    virtual Result<ChunkNo> add(Bytes data, const DedupScope& scope) = 0;
    // Writes and syncs all new chunks, then commits their index records (not synced). Call before
    // committing a record that refers to a number from add(). May be called again after more adds.
    virtual Status finish() = 0;
    // Since begin().
    struct Totals {
      std::uint64_t bytes_added = 0, bytes_new = 0, bytes_written = 0;
    };
    [[nodiscard]] virtual Totals totals() const = 0;
  };
  virtual std::unique_ptr<Ingest> begin() = 0;

  // Reads out.size() bytes from `offset` of a chunk, verified. EIO (with the chunk's name and a
  // loud log line; the chunk is marked damaged and not deduplicated against again) when damaged or
  // missing.
  virtual Status read(ChunkNo chunk, std::uint32_t offset, MutableBytes out) = 0;

  // One piece of a larger read; see read_many().
  struct Piece {
    ChunkNo chunk = 0;
    std::uint32_t offset = 0;
    MutableBytes out;
  };
  // Like read() for each piece, sharing index look-ups and blocks among neighbours.
  virtual Status read_many(std::span<const Piece> pieces) = 0;

  // Adds `delta` references in the caller's batch. A negative delta also makes the chunk a
  // candidate for collect().
  virtual void add_reference(rocksdb::WriteBatch& batch, ChunkNo chunk, std::int64_t delta) = 0;

  // Removes up to `max_chunks` candidates whose count is zero; true when candidates remain.
  virtual Result<bool> collect(std::size_t max_chunks) = 0;
  // Rewrites the live chunks of at most one pack whose dead share is at least `dead_share` (0..1),
  // and removes packs without live chunks; true when it did anything.
  virtual Result<bool> compact(double dead_share) = 0;

  virtual Result<ChunkHash> hash_of(ChunkNo chunk) = 0;
  [[nodiscard]] virtual ChunkStoreStats stats() const = 0;  // O(1), exact

  // Compares every counter, record and reference with each other. `expected_references` calls its
  // argument for every reference that the caller's records hold, at the same database snapshot.
  // `read_data` also verifies the bytes of every block and the SHA-256 of every chunk.
  using ReferenceSink = std::function<void(ChunkNo)>;
  virtual Result<std::vector<ChunkProblem>> check(
      const rocksdb::Snapshot* at,
      const std::function<Status(const ReferenceSink&)>& expected_references, bool read_data) = 0;
};

}  // namespace projfs
