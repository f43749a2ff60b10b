// SPDX-License-Identifier: MIT
//
// Look-ups in the chunk index. Thread safety: any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "chunk/record.h"
#include "projfs/database.h"

namespace projfs::chunks {

class Index {
 public:
  explicit Index(Database& db) : db_(db) {}

  // nullopt: no such chunk. EIO: the record is malformed.
  Result<std::optional<ChunkRecord>> record(ChunkNo chunk,
                                            const rocksdb::Snapshot* at = nullptr) const;
  // The same for many, in their order. Ascending numbers are cheapest.
  Result<std::vector<std::optional<ChunkRecord>>> records(
      std::span<const ChunkNo> chunks, const rocksdb::Snapshot* at = nullptr) const;
  // Up to `most` records from `first` on.
  Result<std::vector<std::pair<ChunkNo, ChunkRecord>>> run(ChunkNo first, std::size_t most) const;

  // The chunk that a hash leads to; the caller compares the whole hash. 0: none.
  Result<ChunkNo> number_of(const ChunkHash& hash, const rocksdb::Snapshot* at = nullptr) const;
  Result<std::vector<ChunkNo>> numbers_of(std::span<const ChunkHash> hashes,
                                          const rocksdb::Snapshot* at = nullptr) const;

  Result<std::vector<std::int64_t>> references(std::span<const ChunkNo> chunks,
                                               const rocksdb::Snapshot* at = nullptr) const;

 private:
  Status get_many(Family family, std::span<const rocksdb::Slice> keys,
                  std::vector<rocksdb::PinnableSlice>& values, std::vector<bool>& there,
                  const rocksdb::Snapshot* at) const;

  Database& db_;
};

}  // namespace projfs::chunks
