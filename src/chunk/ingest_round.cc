// SPDX-License-Identifier: MIT
#include "chunk/ingest_round.h"

#include <algorithm>

#include "chunk/hasher.h"
#include "projfs/log.h"

namespace projfs::chunks {

IngestRound::IngestRound(Core& core)
    : core_(core),
      writer_(core.packs, {core.options.block_bytes, core.options.compression_level},
              [this](std::size_t tag, const BlockPlace& block, std::uint32_t offset) {
                pending_[tag].record.block = block;
                pending_[tag].record.offset = offset;
              }),
      seen_commits_(core.hash_commits) {
  const std::lock_guard lock(core_.pins_mutex);
  core_.pins.push_front(&pins_);
  registration_ = core_.pins.begin();
}

IngestRound::~IngestRound() {
  if (marker_ != 0) {
    if (const auto done = core_.settle(marker_, committed_, SIZE_MAX); !done) {
      // The marker stays, and the next opening of the store goes on with it.
      log::warn("cannot close a round of ingestion: {}", done.error().describe());
    }
  }
  const std::lock_guard lock(core_.pins_mutex);
  core_.pins.erase(registration_);
  core_.give_back(lease_next_, lease_end_);
}

ChunkStore::Ingest::Totals IngestRound::totals() const {
  auto t = totals_;
  t.bytes_written = writer_.bytes_written();
  return t;
}

ChunkNo IngestRound::new_number() {
  if (lease_next_ == lease_end_) {
    lease_next_ = core_.lease(kLease);
    lease_end_ = lease_next_ + kLease;
  }
  return lease_next_++;
}

ChunkNo IngestRound::predicted(const ChunkHash& hash) {
  if (run_at_ >= run_.size()) return 0;
  if (run_removals_ != core_.removals) {
    run_.clear();
    return 0;
  }
  // A few places on as well: a changed chunk in the middle does not end the run.
  const auto end = std::min(run_.size(), run_at_ + 4);
  for (auto i = run_at_; i < end; ++i) {
    const auto& [number, record] = run_[i];
    if (record.hash != hash) continue;
    if (!core_.healthy(record)) return 0;
    run_at_ = i + 1;
    last_found_ = number;
    return number;
  }
  return 0;
}

Status IngestRound::look_ahead(ChunkNo found) {
  const bool follows = found > last_found_ && found - last_found_ <= 4;
  last_found_ = found;
  if (!follows) return {};
  run_removals_ = core_.removals;
  run_at_ = 0;
  PROJFS_ASSIGN(run_, core_.index.run(found + 1, 64));
  return {};
}

Result<ChunkNo> IngestRound::add(Bytes data, const DedupScope& scope) {
  if (failed_) return tl::unexpected<Error>(*failed_);
  auto number = add_checked(data, scope);
  if (!number && number.error().code != EINVAL) failed_ = number.error();
  return number;
}

Result<ChunkNo> IngestRound::add_checked(Bytes data, const DedupScope& scope) {
  if (data.empty() || data.size() > core_.chunker.max_size()) {
    return fail(EINVAL, "a chunk of " + std::to_string(data.size()) + " bytes");
  }
  PROJFS_ASSIGN(const auto hash, name_of(data, scope));
  totals_.bytes_added += data.size();
  if (const auto it = pending_by_hash_.find(hash); it != pending_by_hash_.end()) {
    return pending_[it->second].number;
  }

  Pending fresh;
  {
    const std::shared_lock lock(core_.life);
    if (const auto number = predicted(hash); number != 0) {
      pins_.insert(number);
      return number;
    }
    PROJFS_ASSIGN(const auto found, core_.index.number_of(hash));
    if (found != 0) {
      PROJFS_ASSIGN(const auto record, core_.index.record(found));
      if (record && record->hash == hash) {
        pins_.insert(found);
        if (core_.healthy(*record)) {
          PROJFS_TRY(look_ahead(found));
          return found;
        }
        fresh.number = found;
        fresh.heals = true;
      } else {
        fresh.twin = true;
      }
    }
    if (!fresh.heals) {
      fresh.number = new_number();
      pins_.insert(fresh.number);
    }
  }
  fresh.record.hash = hash;
  fresh.record.length = static_cast<std::uint32_t>(data.size());
  fresh.record.keyed = !scope.key.empty();
  const auto number = fresh.number;
  pending_.push_back(fresh);
  pending_by_hash_[hash] = pending_.size() - 1;
  totals_.bytes_new += data.size();
  PROJFS_TRY(writer_.add(data, pending_.size() - 1));
  if (pending_.size() >= kMostPending) PROJFS_TRY(finish_checked());
  return number;
}

Status IngestRound::finish() {
  if (failed_) return tl::unexpected<Error>(*failed_);
  auto done = finish_checked();
  if (!done) failed_ = done.error();
  return done;
}

Status IngestRound::finish_checked() {
  if (pending_.empty()) return {};
  PROJFS_TRY(writer_.finish());
  for (std::span<Pending> left(pending_); !left.empty();) {
    const auto slice = left.first(std::min(left.size(), kBatch));
    PROJFS_TRY(commit(slice));
    left = left.subspan(slice.size());
  }
  pending_.clear();
  pending_by_hash_.clear();
  seen_commits_ = core_.hash_commits;
  writer_.release();
  return {};
}

Status IngestRound::commit(std::span<Pending> slice) {
  rocksdb::WriteBatch batch;
  LedgerChange change;
  const std::lock_guard lock(core_.commit);

  // Another round may have committed the same content since we looked; its chunk then keeps the
  // place in the hash index, and ours is a twin that only its own references lead to.
  std::vector<ChunkNo> twins(slice.size(), 0);
  const bool alone = core_.hash_commits == seen_commits_;
  if (!alone) {
    std::vector<ChunkHash> hashes;
    for (const auto& p : slice) hashes.push_back(p.record.hash);
    PROJFS_ASSIGN(twins, core_.index.numbers_of(hashes));
  }
  auto committed = committed_;
  auto marker = marker_;
  for (std::size_t i = 0; i < slice.size(); ++i) {
    auto& p = slice[i];
    if (p.heals) {
      PROJFS_ASSIGN(const auto old, core_.index.record(p.number));
      if (!old) return fail(EIO, "chunk " + std::to_string(p.number) + " left the index");
      p.record.indexed = old->indexed;
      change.remove(*old);
    } else {
      p.record.indexed = twins[i] == 0 && !p.twin;
      if (p.record.indexed) {
        std::string value;
        put_varint(value, p.number);
        batch.Put(core_.db.family(Family::kHashes), rocksdb::Slice(hash_key(p.record.hash)), value);
      }
      if (marker == 0) marker = p.number;
      committed.insert(p.number);
    }
    change.place(p.number, p.record);
    batch.Put(core_.db.family(Family::kChunks), number_key(p.number), p.record.encode());
  }
  if (marker != 0) {
    std::string value;
    committed.encode(value);
    batch.Put(core_.db.family(Family::kSystem), prefixed_key(kIngestPrefix, marker), value);
  }
  batch.Put(core_.db.family(Family::kSystem), rocksdb::Slice(kNextChunkKey),
            number_key(core_.next_number()));
  core_.ledger.write(batch, change);
  PROJFS_TRY(core_.db.commit(batch));
  core_.ledger.adopt(change);
  committed_ = std::move(committed);
  marker_ = marker;
  ++core_.hash_commits;
  if (alone) seen_commits_ = core_.hash_commits;
  return {};
}

}  // namespace projfs::chunks
