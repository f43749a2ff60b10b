// SPDX-License-Identifier: MIT
#include "chunk/index.h"

#include <algorithm>

namespace projfs::chunks {
namespace {

Result<ChunkRecord> decode_record(ChunkNo chunk, std::string_view value) {
  auto record = ChunkRecord::decode(value);
  if (!record) return fail(EIO, "the record of chunk " + std::to_string(chunk) + " is malformed");
  return *record;
}

Result<ChunkNo> decode_number(std::string_view value) {
  Reader in(value);
  const auto n = in.varint();
  if (!in.done()) return fail(EIO, "the hash index has a malformed entry");
  return n;
}

std::vector<std::string> keys_of(std::span<const ChunkNo> chunks) {
  std::vector<std::string> keys;
  keys.reserve(chunks.size());
  for (const auto n : chunks) keys.push_back(number_key(n));
  return keys;
}

}  // namespace

Result<std::optional<ChunkRecord>> Index::record(ChunkNo chunk, const rocksdb::Snapshot* at) const {
  rocksdb::ReadOptions options;
  options.snapshot = at;
  rocksdb::PinnableSlice value;
  const auto status =
      db_.raw().Get(options, db_.family(Family::kChunks), number_key(chunk), &value);
  if (status.IsNotFound()) return std::optional<ChunkRecord>();
  PROJFS_TRY(from_rocksdb(status, "reading the chunk index"));
  PROJFS_ASSIGN(const auto record, decode_record(chunk, value.ToStringView()));
  return std::optional<ChunkRecord>(record);
}

Status Index::get_many(Family family, std::span<const rocksdb::Slice> keys,
                       std::vector<rocksdb::PinnableSlice>& values, std::vector<bool>& there,
                       const rocksdb::Snapshot* at) const {
  rocksdb::ReadOptions options;
  options.snapshot = at;
  values = std::vector<rocksdb::PinnableSlice>(keys.size());
  there.assign(keys.size(), false);
  std::vector<rocksdb::Status> statuses(keys.size());
  const bool sorted = std::is_sorted(keys.begin(), keys.end(),
                                     [](const auto& a, const auto& b) { return a.compare(b) < 0; });
  db_.raw().MultiGet(options, db_.family(family), keys.size(), keys.data(), values.data(),
                     statuses.data(), sorted);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    PROJFS_TRY(from_rocksdb(statuses[i], "reading the chunk index"));
    there[i] = true;
  }
  return {};
}

Result<std::vector<std::optional<ChunkRecord>>> Index::records(std::span<const ChunkNo> chunks,
                                                               const rocksdb::Snapshot* at) const {
  const auto keys = keys_of(chunks);
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<bool> there;
  PROJFS_TRY(get_many(Family::kChunks, slices, values, there, at));
  std::vector<std::optional<ChunkRecord>> out(chunks.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!there[i]) continue;
    PROJFS_ASSIGN(out[i], decode_record(chunks[i], values[i].ToStringView()));
  }
  return out;
}

Result<std::vector<std::pair<ChunkNo, ChunkRecord>>> Index::run(ChunkNo first,
                                                                std::size_t most) const {
  std::vector<std::pair<ChunkNo, ChunkRecord>> out;
  const auto it = db_.scan(Family::kChunks);
  for (it->Seek(number_key(first)); it->Valid() && out.size() < most; it->Next()) {
    Reader key(it->key().ToStringView());
    const auto n = key.be64();
    PROJFS_ASSIGN(const auto record, decode_record(n, it->value().ToStringView()));
    out.emplace_back(n, record);
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the chunk index"));
  return out;
}

Result<ChunkNo> Index::number_of(const ChunkHash& hash, const rocksdb::Snapshot* at) const {
  rocksdb::ReadOptions options;
  options.snapshot = at;
  rocksdb::PinnableSlice value;
  const auto status =
      db_.raw().Get(options, db_.family(Family::kHashes), rocksdb::Slice(hash_key(hash)), &value);
  if (status.IsNotFound()) return ChunkNo{0};
  PROJFS_TRY(from_rocksdb(status, "reading the hash index"));
  return decode_number(value.ToStringView());
}

Result<std::vector<ChunkNo>> Index::numbers_of(std::span<const ChunkHash> hashes,
                                               const rocksdb::Snapshot* at) const {
  std::vector<rocksdb::Slice> slices;
  slices.reserve(hashes.size());
  for (const auto& h : hashes) slices.emplace_back(hash_key(h));
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<bool> there;
  PROJFS_TRY(get_many(Family::kHashes, slices, values, there, at));
  std::vector<ChunkNo> out(hashes.size(), 0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!there[i]) continue;
    PROJFS_ASSIGN(out[i], decode_number(values[i].ToStringView()));
  }
  return out;
}

Result<std::vector<std::int64_t>> Index::references(std::span<const ChunkNo> chunks,
                                                    const rocksdb::Snapshot* at) const {
  const auto keys = keys_of(chunks);
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<bool> there;
  PROJFS_TRY(get_many(Family::kRefs, slices, values, there, at));
  std::vector<std::int64_t> out(chunks.size(), 0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!there[i]) continue;
    const auto count = decode_counters(values[i].ToStringView());
    if (!count)
      return fail(EIO, "the count of chunk " + std::to_string(chunks[i]) + " is malformed");
    out[i] = (*count)[0];
  }
  return out;
}

}  // namespace projfs::chunks
