// SPDX-License-Identifier: MIT
#include "chunk/damage.h"

#include <mutex>

#include "projfs/log.h"

namespace projfs::chunks {

Status Damage::load() {
  const std::string prefix(kDamagedPrefix);
  const auto end = prefix_end(prefix);
  const rocksdb::Slice upper(end);
  const auto it = db_.scan(Family::kSystem, &upper);
  const std::unique_lock lock(mutex_);
  for (it->Seek(prefix); it->Valid(); it->Next()) {
    Reader key(it->key().ToStringView().substr(prefix.size()));
    const auto pack = key.be64();
    const auto offset = key.be64();
    if (key.done()) blocks_.emplace(pack, offset);
  }
  count_ = blocks_.size();
  return from_rocksdb(it->status(), "reading the list of damaged blocks");
}

bool Damage::contains(const BlockPlace& block) const {
  if (count_.load(std::memory_order_relaxed) == 0) return false;
  const std::shared_lock lock(mutex_);
  return blocks_.contains({block.pack, block.offset});
}

bool Damage::mark(const BlockPlace& block) {
  {
    const std::unique_lock lock(mutex_);
    if (!blocks_.emplace(block.pack, block.offset).second) return false;
    count_ = blocks_.size();
  }
  rocksdb::WriteBatch batch;
  batch.Put(db_.family(Family::kSystem), damaged_key(block), "");
  if (const auto saved = db_.commit(batch); !saved) {
    log::error("cannot remember a damaged block: {}", saved.error().describe());
  }
  return true;
}

void Damage::forget_pack(rocksdb::WriteBatch& batch, std::uint64_t pack) {
  const std::unique_lock lock(mutex_);
  auto it = blocks_.lower_bound({pack, 0});
  while (it != blocks_.end() && it->first == pack) {
    batch.Delete(db_.family(Family::kSystem), damaged_key({pack, it->second}));
    it = blocks_.erase(it);
  }
  count_ = blocks_.size();
}

}  // namespace projfs::chunks
