// SPDX-License-Identifier: MIT
#include "chunk/block.h"

#include <xxhash.h>
#include <zstd.h>
#include <array>

namespace projfs::chunks {
namespace {

constexpr std::uint32_t kMagic = 0x4b424a50;  // "PJBK"

struct FreeZstd {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeZstd> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  return context.get();
}

std::string head_of(Codec codec, std::uint32_t payload, std::uint32_t raw) {
  std::string head;
  put_le32(head, kMagic);
  put_u8(head, static_cast<std::uint8_t>(codec));
  head.append(3, '\0');
  put_le32(head, payload);
  put_le32(head, raw);
  return head;
}

std::uint64_t checksum(std::string head, std::uint64_t pack, std::uint64_t offset, Bytes payload) {
  put_le64(head, pack);
  put_le64(head, offset);
  return XXH3_64bits_withSeed(payload.data(), payload.size(),
                              XXH3_64bits(head.data(), head.size()));
}

// Whoever reads 4 KiB of a compressed block pays for all of it: that has to save an eighth. What
// saves less is stored raw, in a block for each chunk.
bool worthwhile(std::size_t compressed, std::size_t raw) { return compressed < raw - raw / 8; }

}  // namespace

std::array<std::uint8_t, kBlockHeader> block_header(Codec codec, std::uint64_t pack,
                                                    std::uint64_t offset, std::uint32_t raw,
                                                    Bytes payload) {
  auto head = head_of(codec, static_cast<std::uint32_t>(payload.size()), raw);
  const auto sum = checksum(head, pack, offset, payload);
  put_le64(head, sum);
  std::array<std::uint8_t, kBlockHeader> out{};
  std::memcpy(out.data(), head.data(), out.size());
  return out;
}

Result<SealedBlock> verify_block(const BlockPlace& place, Bytes stored) {
  if (stored.size() != place.stored || stored.size() < kBlockHeader) {
    return fail(EIO, "the block is cut short");
  }
  Reader in(stored.first(kBlockHeader));
  const auto magic = in.le32();
  const auto codec = in.u8();
  in.view(3);
  const auto payload_size = in.le32();
  const auto raw_size = in.le32();
  const auto sum = in.le64();
  const auto payload = stored.subspan(kBlockHeader);
  if (magic != kMagic) return fail(EIO, "the block has no block header");
  if (payload_size != payload.size() || raw_size != place.raw) {
    return fail(EIO, "the block has another size than the index says");
  }
  if (checksum(std::string(as_view(stored.first(16))), place.pack, place.offset, payload) != sum) {
    return fail(EIO, "the checksum of the block is wrong");
  }
  if (static_cast<Codec>(codec) == Codec::kRaw && payload.size() != raw_size)
    return fail(EIO, "the raw block has the wrong size");
  return SealedBlock{static_cast<Codec>(codec), raw_size, payload};
}

Result<BlockPtr> unpack(const SealedBlock& sealed) {
  const auto& [codec, raw_size, payload] = sealed;
  auto block = std::make_shared<Block>(raw_size);
  switch (codec) {
    case Codec::kRaw:
      std::memcpy(block->writable().data(), payload.data(), payload.size());
      return block;
    case Codec::kZstd: {
      ZSTD_DCtx* const context = decompressor();
      if (context == nullptr) return fail(ENOMEM, "no memory for zstd");
      const auto n = ZSTD_decompressDCtx(context, block->writable().data(), raw_size,
                                         payload.data(), payload.size());
      if (ZSTD_isError(n) != 0 || n != raw_size) {
        return fail(EIO, "the block does not decompress to its size");
      }
      return block;
    }
  }
  return fail(EIO, "the block has an unknown codec");
}

Result<BlockPtr> open_block(const BlockPlace& place, Bytes stored) {
  PROJFS_ASSIGN(const auto sealed, verify_block(place, stored));
  return unpack(sealed);
}

Result<bool> compress(Bytes raw, int level, std::string& out) {
  ZSTD_CCtx* const context = compressor();
  if (context == nullptr) return fail(ENOMEM, "no memory for zstd");
  out.resize(ZSTD_compressBound(raw.size()));
  const auto n = ZSTD_compressCCtx(context, out.data(), out.size(), raw.data(), raw.size(), level);
  if (ZSTD_isError(n) != 0) {
    return fail(EIO, std::string("zstd: ") + ZSTD_getErrorName(n));
  }
  out.resize(n);
  return worthwhile(n, raw.size());
}

bool looks_incompressible(Bytes data) {
  // Too small to tell, and to matter.
  constexpr std::size_t kSamples = 1024;
  if (data.size() < kSamples) return false;
  // Byte frequencies of samples spread over the data: the sum of their squares is about
  // n + n*n/256 (5116) for uniformly random bytes and much more for anything with structure.
  std::array<std::uint16_t, 256> counts{};
  const std::size_t stride = data.size() / kSamples;
  for (std::size_t i = 0, at = 0; i < kSamples; ++i, at += stride) ++counts[data[at]];
  std::uint32_t squares = 0;
  for (const std::uint32_t c : counts) squares += c * c;
  if (squares > 5116 * 5 / 4) return false;
  // Uniform bytes may still repeat at a distance; a real attempt on a small part decides.
  std::array<std::uint8_t, ZSTD_COMPRESSBOUND(4096)> scratch;
  ZSTD_CCtx* const context = compressor();
  if (context == nullptr) return true;
  const auto part = data.first(std::min<std::size_t>(data.size(), 4096));
  const auto n =
      ZSTD_compressCCtx(context, scratch.data(), scratch.size(), part.data(), part.size(), 1);
  return ZSTD_isError(n) != 0 || !worthwhile(n, part.size());
}

}  // namespace projfs::chunks
