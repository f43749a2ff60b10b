// SPDX-License-Identifier: MIT
#include "chunk/compactor.h"

#include <algorithm>

#include "chunk/block_writer.h"
#include "projfs/log.h"

namespace projfs::chunks {

Result<bool> Compactor::compact(double dead_share) {
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(const bool removed, remove_empty());
  const auto pack = choose(dead_share);
  if (pack == 0 || !core_.packs.retire(pack)) return removed;
  PROJFS_TRY(empty(pack));
  if (core_.ledger.pack(pack).counts.chunks == 0) {
    PROJFS_TRY(core_.remove_pack(pack));
  } else {
    stuck_.insert(pack);
  }
  return true;
}

Result<bool> Compactor::remove_empty() {
  bool removed = false;
  auto numbers = core_.packs.numbers();
  for (const auto& [number, counts] : core_.ledger.pack_counts()) {
    if (core_.packs.size_of(number) == 0) numbers.push_back(number);  // its file is missing
  }
  for (const auto number : numbers) {
    if (core_.ledger.pack(number).counts.chunks != 0) continue;
    const auto size = core_.packs.size_of(number);
    if (size != 0) {
      if (size == kPackHeader && number == core_.packs.active()) continue;
      if (!core_.packs.retire(number)) continue;
      // A round that held the pack when we looked may have committed since; from here on none can.
      if (core_.ledger.pack(number).counts.chunks != 0) continue;
    }
    PROJFS_TRY(core_.remove_pack(number));
    stuck_.erase(number);
    removed = true;
  }
  return removed;
}

std::uint64_t Compactor::choose(double dead_share) const {
  std::uint64_t best = 0, most_dead = 0;
  for (const auto& [number, counts] : core_.ledger.pack_counts()) {
    const auto size = core_.packs.size_of(number);
    if (size <= kPackHeader || stuck_.contains(number)) continue;
    const auto content = size - kPackHeader;
    const auto live = std::min(content, static_cast<std::uint64_t>(counts.stored));
    const auto dead = content - live;
    if (dead <= most_dead ||
        static_cast<double>(dead) < dead_share * static_cast<double>(content)) {
      continue;
    }
    best = number;
    most_dead = dead;
  }
  return best;
}

Status Compactor::empty(std::uint64_t pack) {
  constexpr std::size_t kRun = 1024;
  std::vector<Move> moves;
  std::vector<ChunkRecord> places;
  std::size_t unwritten = 0;  // moves that are not committed
  BlockWriter writer(core_.packs, {core_.options.block_bytes, core_.options.compression_level},
                     [&](std::size_t tag, const BlockPlace& block, std::uint32_t offset) {
                       places[tag].block = block;
                       places[tag].offset = offset;
                     });
  const auto flush = [&]() -> Status {
    PROJFS_TRY(writer.finish());
    PROJFS_TRY(commit(moves, places));
    writer.release();
    moves.clear();
    places.clear();
    unwritten = 0;
    return {};
  };

  const auto numbers = core_.ledger.pack(pack).record.numbers;
  BlockPtr block;
  BlockPlace block_place;
  for (const auto& [first, last] : numbers.map()) {
    for (auto from = first; from <= last;) {
      PROJFS_ASSIGN(const auto run, core_.index.run(from, kRun));
      if (run.empty()) break;
      from = run.back().first + 1;
      for (const auto& [chunk, found] : run) {
        if (chunk > last) break;
        if (found.block.pack != pack) continue;
        auto record = found;
        if (!block || block_place != record.block) {
          auto loaded = reader_.block_of(chunk, record, false);
          if (!loaded) {
            // Damaged: stays where it is until its content is written again. Anything else: later.
            if (loaded.error().code == EIO) continue;
            return tl::unexpected<Error>(loaded.error());
          }
          if (record.block.pack != pack) continue;
          block = *loaded;
          block_place = record.block;
        }
        moves.push_back({chunk, record});
        places.push_back(record);
        PROJFS_TRY(
            writer.add(block->bytes().subspan(record.offset, record.length), places.size() - 1));
        if (++unwritten >= 4096) PROJFS_TRY(flush());
      }
    }
  }
  return flush();
}

Status Compactor::commit(std::span<const Move> from, std::span<const ChunkRecord> to) {
  if (from.empty()) return {};
  rocksdb::WriteBatch batch;
  LedgerChange change;
  std::vector<ChunkNo> chunks;
  for (const auto& m : from) chunks.push_back(m.chunk);
  const std::lock_guard lock(core_.commit);
  PROJFS_ASSIGN(const auto now, core_.index.records(chunks));
  for (std::size_t i = 0; i < from.size(); ++i) {
    // Collected, or healed elsewhere, since we read it: the copy is dead, the record is right.
    if (!now[i] || now[i]->block != from[i].record.block) continue;
    change.remove(*now[i]);
    change.place(from[i].chunk, to[i]);
    batch.Put(core_.db.family(Family::kChunks), number_key(from[i].chunk), to[i].encode());
  }
  core_.ledger.write(batch, change);
  ++core_.removals;
  PROJFS_TRY(core_.db.commit(batch));
  core_.ledger.adopt(change);
  return {};
}

}  // namespace projfs::chunks
