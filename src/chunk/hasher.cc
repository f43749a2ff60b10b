// SPDX-License-Identifier: MIT
#include "chunk/hasher.h"

#include <openssl/evp.h>
#include <memory>

namespace projfs::chunks {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};

// Fetched once: looking the algorithm up costs more than hashing a small chunk.
EVP_MD* algorithm() {
  static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

Result<ChunkHash> digest(Bytes first, Bytes second) {
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  ChunkHash hash;
  unsigned length = 0;
  EVP_MD_CTX* c = context.get();
  if (c == nullptr || algorithm() == nullptr || EVP_DigestInit_ex2(c, algorithm(), nullptr) != 1 ||
      (!first.empty() && EVP_DigestUpdate(c, first.data(), first.size()) != 1) ||
      (!second.empty() && EVP_DigestUpdate(c, second.data(), second.size()) != 1) ||
      EVP_DigestFinal_ex(c, hash.bytes.data(), &length) != 1 || length != hash.bytes.size()) {
    return fail(EIO, "SHA-256 is not available from OpenSSL");
  }
  return hash;
}

constexpr std::size_t kHashBlock = 64;

}  // namespace

Result<ChunkHash> sha256(Bytes data) { return digest(data, {}); }

Result<ChunkHash> hmac_sha256(std::string_view key, Bytes data) {
  std::array<std::uint8_t, kHashBlock> inner{};
  if (key.size() > kHashBlock) {
    PROJFS_ASSIGN(const ChunkHash short_key, sha256(as_bytes(key)));
    std::memcpy(inner.data(), short_key.bytes.data(), short_key.bytes.size());
  } else {
    std::memcpy(inner.data(), key.data(), key.size());
  }
  auto outer = inner;
  for (auto& b : inner) b ^= 0x36;
  for (auto& b : outer) b ^= 0x5c;
  PROJFS_ASSIGN(const ChunkHash hash, digest(inner, data));
  return digest(outer, hash.bytes);
}

Result<ChunkHash> name_of(Bytes data, const DedupScope& scope) {
  return scope.key.empty() ? sha256(data) : hmac_sha256(scope.key, data);
}

std::string to_hex(const ChunkHash& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * hash.bytes.size());
  for (const auto b : hash.bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

}  // namespace projfs::chunks
