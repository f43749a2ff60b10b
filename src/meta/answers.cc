// SPDX-License-Identifier: MIT
#include "meta/answers.h"

#include "projfs/bytes.h"

namespace projfs::meta {
namespace {

constexpr std::string_view kPrefix = "answer/";

std::string first_key(std::uint64_t boot) {
  std::string key(kPrefix);
  put_be64(key, boot);
  return key;
}

}  // namespace

Result<std::unique_ptr<Answers>> Answers::load(Database& db, std::uint64_t boot) {
  std::unique_ptr<Answers> made(new Answers(db, boot));
  const auto end = first_key(boot);
  const rocksdb::Slice upper(end);
  const auto it = db.scan(Family::kSystem, &upper);
  for (it->Seek(rocksdb::Slice(kPrefix.data(), kPrefix.size())); it->Valid(); it->Next()) {
    Reader in(it->value().ToStringView());
    RequestId request;
    request.connection = in.varint();
    request.unique = in.varint();
    const auto result = in.varint();
    if (!in.done()) return fail(EIO, "the record of a request's answer does not decode");
    made->earlier_[request] = result;
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading the answers of before"));
  return made;
}

void Answers::note(rocksdb::WriteBatch& batch, std::uint64_t result) const {
  const auto* request = recorded_request();
  if (request == nullptr) return;
  auto key = first_key(boot_);
  put_be32(key, request->slot);
  std::string value;
  put_varint(value, request->id.connection);
  put_varint(value, request->id.unique);
  put_varint(value, result);
  batch.Put(db_.family(Family::kSystem), key, value);
}

std::optional<std::uint64_t> Answers::find(const RequestId& request) const {
  const std::lock_guard lock(mutex_);
  const auto it = earlier_.find(request);
  if (it == earlier_.end()) return std::nullopt;
  return it->second;
}

Status Answers::forget_earlier() {
  const std::lock_guard lock(mutex_);
  if (earlier_.empty()) return {};
  rocksdb::WriteBatch batch;
  const auto end = first_key(boot_);
  const rocksdb::Slice upper(end);
  const auto it = db_.scan(Family::kSystem, &upper);
  for (it->Seek(rocksdb::Slice(kPrefix.data(), kPrefix.size())); it->Valid(); it->Next())
    batch.Delete(db_.family(Family::kSystem), it->key());
  PROJFS_TRY(from_rocksdb(it->status(), "reading the answers of before"));
  PROJFS_TRY(db_.commit(batch));
  earlier_.clear();
  return {};
}

std::size_t Answers::earlier() const {
  const std::lock_guard lock(mutex_);
  return earlier_.size();
}

}  // namespace projfs::meta
