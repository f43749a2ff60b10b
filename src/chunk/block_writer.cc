// SPDX-License-Identifier: MIT
#include "chunk/block_writer.h"

#include <algorithm>

namespace projfs::chunks {

Status BlockWriter::add(Bytes chunk, std::size_t tag) {
  const auto length = static_cast<std::uint32_t>(chunk.size());
  if (looks_incompressible(chunk)) {
    PROJFS_ASSIGN(const auto place, write(Codec::kRaw, chunk, length));
    placed_(tag, place, 0);
    return {};
  }
  if (!open_.empty() && open_.size() + chunk.size() > options_.block_bytes) PROJFS_TRY(seal());
  members_.push_back({tag, static_cast<std::uint32_t>(open_.size()), length});
  open_.append(as_view(chunk));
  if (open_.size() >= options_.block_bytes) PROJFS_TRY(seal());
  return {};
}

Status BlockWriter::seal() {
  if (open_.empty()) return {};
  PROJFS_ASSIGN(const bool smaller, compress(as_bytes(open_), options_.level, compressed_));
  if (smaller) {
    PROJFS_ASSIGN(const auto place, write(Codec::kZstd, as_bytes(compressed_),
                                          static_cast<std::uint32_t>(open_.size())));
    for (const auto& m : members_) placed_(m.tag, place, m.offset);
  } else {
    for (const auto& m : members_) {
      const auto bytes = as_bytes(open_).subspan(m.offset, m.length);
      PROJFS_ASSIGN(const auto place, write(Codec::kRaw, bytes, m.length));
      placed_(m.tag, place, 0);
    }
  }
  open_.clear();
  members_.clear();
  return {};
}

Result<BlockPlace> BlockWriter::write(Codec codec, Bytes payload, std::uint32_t raw) {
  const auto stored = static_cast<std::uint32_t>(kBlockHeader + payload.size());
  PROJFS_ASSIGN(const auto slot, packs_.reserve(stored, holds_));
  auto header = block_header(codec, slot.pack->number, slot.offset, raw, payload);
  const std::array<iovec, 2> parts{
      iovec{header.data(), header.size()},
      iovec{const_cast<std::uint8_t*>(payload.data()), payload.size()}};
  if (const auto written = slot.file->write(slot.offset, std::span<const iovec>(parts)); !written) {
    packs_.abandon(slot, stored);
    return tl::unexpected<Error>(written.error());
  }
  if (std::find(unsynced_.begin(), unsynced_.end(), slot.file) == unsynced_.end()) {
    unsynced_.push_back(slot.file);
  }
  bytes_written_ += stored;
  return BlockPlace{slot.pack->number, slot.offset, stored, raw};
}

Status BlockWriter::finish() {
  PROJFS_TRY(seal());
  for (const auto& file : unsynced_) PROJFS_TRY(file->sync());
  unsynced_.clear();
  return {};
}

}  // namespace projfs::chunks
