// SPDX-License-Identifier: MIT
#include "chunk/block_reader.h"

#include <algorithm>

#include "chunk/hasher.h"
#include "projfs/log.h"

namespace projfs::chunks {
namespace {

tl::unexpected<Error> no_record(ChunkNo chunk) {
  log::error("chunk {} is not in the index", chunk);
  return fail(EIO, "chunk " + std::to_string(chunk) + " is not in the index");
}

// The most that is read at once, as stored and as it was before compression.
constexpr std::uint64_t kRunStored = 1 << 20, kRunRaw = 2 << 20;

// Memory of the thread for what is read from a pack.
MutableBytes room_in(std::string& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return {reinterpret_cast<std::uint8_t*>(buffer.data()), size};
}

Status check_range(const ChunkStore::Piece& piece, const ChunkRecord& record) {
  if (piece.offset > record.length || piece.out.size() > record.length - piece.offset)
    return fail(EINVAL, "a read beyond the end of chunk " + std::to_string(piece.chunk));
  return {};
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
  const auto stored = room_in(buffer, place.stored);
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

// Blocks that are wanted one after the other and lie in the pack one behind the other come with one
// read. Nothing is said of what goes wrong: that block is then read alone, and judged.
BlockReader::Run BlockReader::load_run(Records wanted) {
  Run run;
  std::vector<BlockPlace> places;
  std::uint64_t stored = 0, raw = 0;
  for (const auto& record : wanted) {
    if (!record) break;
    const auto& place = record->block;
    if (!places.empty()) {
      const auto& last = places.back();
      if (place == last) continue;
      if (place.pack != last.pack || place.offset != last.offset + last.stored) break;
    }
    if (stored + place.stored > kRunStored || raw + place.raw > kRunRaw) break;
    stored += place.stored;
    raw += place.raw;
    places.push_back(place);
  }
  if (places.size() < 2) return run;
  const auto file = core_.packs.file(places[0].pack);
  if (!file) return run;
  thread_local std::string buffer;
  const auto read_to = room_in(buffer, stored);
  const auto n = (*file)->read(places[0].offset, read_to);
  if (!n) return run;
  auto rest = Bytes(read_to).first(*n);
  for (const auto& place : places) {
    const auto sealed =
        verify_block(place, rest.first(std::min<std::size_t>(rest.size(), place.stored)));
    if (!sealed) break;
    if (sealed->codec == Codec::kRaw) {
      run.parts.push_back({place, nullptr, sealed->payload});
    } else {
      auto block = unpack(*sealed);
      if (!block) break;
      core_.cache.put(place, *block);
      const auto bytes = (*block)->bytes();
      run.parts.push_back({place, std::move(*block), bytes});
    }
    rest = rest.subspan(place.stored);
  }
  return run;
}

std::optional<Bytes> BlockReader::Run::find(const BlockPlace& place) {
  for (; next < parts.size(); ++next) {
    if (parts[next].place == place) return parts[next].bytes;
  }
  return std::nullopt;
}

// Nothing: it has to be read alone, or is in the cache.
std::optional<Bytes> BlockReader::bytes_ahead(Records wanted, Run& run) {
  const auto& place = wanted[0]->block;
  if (const auto bytes = run.find(place)) return bytes;
  if (core_.cache.get(place)) return std::nullopt;
  run = load_run(wanted);
  return run.find(place);
}

Status BlockReader::copy(const ChunkStore::Piece& piece, ChunkRecord record, BlockPtr& block,
                         BlockPlace& block_place) {
  PROJFS_TRY(check_range(piece, record));
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
    Run run;
    for (const auto& p : step) {
      if (chunks[at] != p.chunk) ++at;
      if (!records[at]) return no_record(p.chunk);
      if (!block || place != records[at]->block) {
        const auto& record = *records[at];
        if (const auto bytes = bytes_ahead(Records(records).subspan(at), run)) {
          PROJFS_TRY(check_range(p, record));
          std::memcpy(p.out.data(), bytes->data() + record.offset + p.offset, p.out.size());
          continue;
        }
      }
      PROJFS_TRY(copy(p, *records[at], block, place));
    }
    pieces = pieces.subspan(step.size());
  }
  return {};
}

}  // namespace projfs::chunks
