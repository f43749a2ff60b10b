// SPDX-License-Identifier: MIT
#include "chunk/block_reader.h"

#include "chunk/hasher.h"
#include "projfs/log.h"

namespace projfs::chunks {
namespace {

tl::unexpected<Error> no_record(ChunkNo chunk) {
  log::error("chunk {} is not in the index", chunk);
  return fail(EIO, "chunk " + std::to_string(chunk) + " is not in the index");
}

// What the system could not do now says nothing about the bytes.
bool is_damage(int code) { return code == EIO || code == ENOENT || code == EBADMSG; }

}  // namespace

Result<BlockPtr> BlockReader::load(const BlockPlace& place, bool use_cache) {
  if (use_cache) {
    if (auto block = core_.cache.get(place)) return block;
  }
  auto file = core_.packs.file(place.pack);
  if (!file) {
    if (file.error().code == ENOENT) core_.packs.forget(place.pack);
    return tl::unexpected<Error>(file.error());
  }
  thread_local std::string buffer;
  if (buffer.size() < place.stored) buffer.resize(place.stored);
  const MutableBytes stored(reinterpret_cast<std::uint8_t*>(buffer.data()), place.stored);
  PROJFS_ASSIGN(const auto n, (*file)->read(place.offset, stored));
  PROJFS_ASSIGN(auto block, open_block(place, Bytes(stored).first(n)));
  if (use_cache) core_.cache.put(place, block);
  return block;
}

tl::unexpected<Error> BlockReader::damaged(ChunkNo chunk, const ChunkRecord& record,
                                           const Error& why) {
  const bool missing = !core_.packs.has(record.block.pack, 0);
  if (missing || core_.damage.mark(record.block)) {
    log::error("DAMAGE: chunk {} (SHA-256 {}) in {} at {}: {}", chunk, to_hex(record.hash),
               pack_name(record.block.pack), record.block.offset, why.describe());
  }
  return fail(EIO, "chunk " + std::to_string(chunk) + " (" + to_hex(record.hash) + ") in " +
                       pack_name(record.block.pack) + ": " + why.describe());
}

Result<BlockPtr> BlockReader::block_of(ChunkNo chunk, ChunkRecord& record, bool use_cache) {
  for (int attempt = 0;; ++attempt) {
    auto block = load(record.block, use_cache);
    if (block) return block;
    // Moved to another pack since its record was read?
    PROJFS_ASSIGN(const auto now, core_.index.record(chunk));
    if (!now) return no_record(chunk);
    if (now->block == record.block || attempt == 8) {
      if (!is_damage(block.error().code)) return block;
      return damaged(chunk, *now, block.error());
    }
    record = *now;
  }
}

Status BlockReader::copy(const ChunkStore::Piece& piece, ChunkRecord record, BlockPtr& block,
                         BlockPlace& block_place) {
  if (piece.offset > record.length || piece.out.size() > record.length - piece.offset) {
    return fail(EINVAL, "a read beyond the end of chunk " + std::to_string(piece.chunk));
  }
  if (!block || block_place != record.block) {
    PROJFS_ASSIGN(block, block_of(piece.chunk, record));
    block_place = record.block;
  }
  std::memcpy(piece.out.data(), block->bytes().data() + record.offset + piece.offset,
              piece.out.size());
  return {};
}

Status BlockReader::read(std::span<const ChunkStore::Piece> pieces) {
  BlockPtr block;
  BlockPlace place;
  if (pieces.size() == 1) {
    PROJFS_ASSIGN(const auto record, core_.index.record(pieces[0].chunk));
    if (!record) return no_record(pieces[0].chunk);
    return copy(pieces[0], *record, block, place);
  }
  // In steps, so that the look-ups of a long read take bounded memory.
  constexpr std::size_t kStep = 256;
  while (!pieces.empty()) {
    const auto step = pieces.first(std::min(kStep, pieces.size()));
    std::vector<ChunkNo> chunks;
    for (const auto& p : step) {
      if (chunks.empty() || chunks.back() != p.chunk) chunks.push_back(p.chunk);
    }
    PROJFS_ASSIGN(const auto records, core_.index.records(chunks));
    std::size_t at = 0;
    for (const auto& p : step) {
      if (chunks[at] != p.chunk) ++at;
      if (!records[at]) return no_record(p.chunk);
      PROJFS_TRY(copy(p, *records[at], block, place));
    }
    pieces = pieces.subspan(step.size());
  }
  return {};
}

}  // namespace projfs::chunks
