// SPDX-License-Identifier: MIT
//
// Chunk names: SHA-256, or HMAC-SHA-256 (RFC 2104) where a deduplication scope has a key.
// Thread safety: any thread; each keeps one digest context for its life.
#pragma once

#include <string>
#include <string_view>

#include "projfs/bytes.h"
#include "projfs/chunk_store.h"

namespace projfs::chunks {

[[nodiscard]] Result<ChunkHash> sha256(Bytes data);
[[nodiscard]] Result<ChunkHash> hmac_sha256(std::string_view key, Bytes data);
[[nodiscard]] Result<ChunkHash> name_of(Bytes data, const DedupScope& scope);

[[nodiscard]] std::string to_hex(const ChunkHash& hash);

}  // namespace projfs::chunks
