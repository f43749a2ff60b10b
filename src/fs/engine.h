// SPDX-License-Identifier: MIT
//
// The services of the store that every volume works with.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "fs/index_sync.h"
#include "fs/inode_cache.h"
#include "fs/space_gauge.h"
#include "meta/answers.h"
#include "projfs/chunk_store.h"
#include "projfs/database.h"
#include "projfs/stage.h"

namespace projfs::fs {

class Ingester;
class Reclaimer;

struct Counters {
  std::atomic<std::uint64_t> refused_quota{0}, refused_space{0}, writes_throttled{0};
  std::atomic<std::uint64_t> ingested_bytes{0}, new_chunk_bytes{0}, pack_bytes_written{0};
  std::atomic<std::uint64_t> ingest_rounds{0};
  std::atomic<std::uint64_t> staged_records{0};  // now; each costs memory until ingested
};

struct Engine {
  Database& db;
  ChunkStore& chunks;
  Stage& stage;
  InodeCache& inodes;
  SpaceGauge& space;
  IndexSync& index_sync;
  meta::Answers& answers;
  Ingester* ingester = nullptr;
  Reclaimer* reclaimer = nullptr;  // null: unlinked inodes are reclaimed at once
  mutable Counters counters{};
};

}  // namespace projfs::fs
