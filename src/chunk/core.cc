// SPDX-License-Identifier: MIT
#include "chunk/core.h"

#include <algorithm>

namespace projfs::chunks {

ChunkNo Core::lease(std::uint64_t count) {
  const std::lock_guard lock(numbers_mutex_);
  const auto first = next_;
  next_ += count;
  return first;
}

void Core::give_back(ChunkNo first, ChunkNo end) {
  const std::lock_guard lock(numbers_mutex_);
  if (next_ == end) next_ = first;
}

ChunkNo Core::next_number() {
  const std::lock_guard lock(numbers_mutex_);
  return next_;
}

void Core::set_next_number(ChunkNo n) {
  const std::lock_guard lock(numbers_mutex_);
  next_ = n;
}

Result<bool> Core::settle(std::uint64_t marker, Intervals& numbers, std::size_t most) {
  constexpr std::size_t kStep = 4096;
  std::size_t seen = 0;
  while (!numbers.empty()) {
    if (seen >= most) return true;
    std::vector<ChunkNo> step;
    for (const auto& [first, last] : numbers.map()) {
      for (auto n = first; n <= last && step.size() < kStep; ++n) step.push_back(n);
      if (step.size() == kStep) break;
    }
    PROJFS_ASSIGN(const auto counts, index.references(step));
    rocksdb::WriteBatch batch;
    for (std::size_t i = 0; i < step.size(); ++i) {
      if (counts[i] != 0) continue;
      batch.Put(db.family(Family::kDead), dead_key(step[i], dead_token()), "");
    }
    numbers.erase_through(step.back());
    const auto key = prefixed_key(kIngestPrefix, marker);
    if (numbers.empty()) {
      batch.Delete(db.family(Family::kSystem), key);
    } else {
      std::string value;
      numbers.encode(value);
      batch.Put(db.family(Family::kSystem), key, value);
    }
    PROJFS_TRY(db.commit(batch));
    seen += step.size();
  }
  return false;
}

Status Core::remove_pack(std::uint64_t pack) {
  // The records that led into it must be gone for good before their bytes are.
  PROJFS_TRY(db.sync());
  PROJFS_TRY(packs.remove(pack));
  rocksdb::WriteBatch batch;
  const std::lock_guard lock(commit);
  ledger.write_removal(batch, pack);
  damage.forget_pack(batch, pack);
  PROJFS_TRY(db.commit(batch));
  ledger.adopt_removal(pack);
  return {};
}

}  // namespace projfs::chunks
