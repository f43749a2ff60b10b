// SPDX-License-Identifier: MIT
//
// Moves staged data into the chunk store: cut, hash, deduplicate, compress, and commit the extents.
//
// A round captures the overlays of some inodes, turns their data into chunks, makes the chunks
// durable once for all, and then commits inode by inode. Only then may the stage forget the
// records. An inode may be written meanwhile: what came after the capture stays in the overlay.
//
// Lock order as in inode.h; queue_mutex_ is innermost.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "fs/engine.h"

namespace projfs::fs {

class Ingester {
 public:
  struct Options {
    unsigned threads = 1;
    std::uint64_t stage_bytes = 1ull << 30;  // writers wait above this
    std::uint64_t overlay_extents = 200000;  // and above this
    std::chrono::milliseconds quiet{2000};   // untouched for so long: ingest
  };

  Ingester(Engine& engine, const Options& options);
  ~Ingester();  // stops; what is staged stays staged

  // The inode has staged records. Its present holder may let go of it.
  void enqueue(const InodePtr& inode);
  // Waits while too much is staged, or while the project's data is held. Call without locks, before
  // staging more. ENOSPC or EIO when ingestion cannot make room.
  Status throttle(const Project& project);
  // Ingests everything staged before the call.
  Status ingest_all();
  // Ingests what one inode holds of closed epochs, and maybe more. Call without locks.
  Status ingest(const InodePtr& inode);
  // Ingests everything staged that belongs to epochs of a project up to `upto`. Call without locks.
  Status ingest_project(meta::ProjectNo project, meta::Epoch upto);
  // Whether anything of a project is staged. REQUIRES: the project's quiesce is held alone.
  [[nodiscard]] bool anything_staged(meta::ProjectNo project) const;
  // Lets the stage recycle what has been ingested.
  Status checkpoint();

 private:
  struct Job;

  void run();
  [[nodiscard]] bool under_pressure() const;  // REQUIRES: queue_mutex_
  std::vector<InodePtr> next_batch();         // REQUIRES: queue_mutex_
  Status round(const std::vector<InodePtr>& inodes);
  Status capture(Job& job);
  Status make_chunks(Job& job, ChunkStore::Ingest& ingest);
  Status chunk_run(Job& job, ChunkStore::Ingest& ingest, std::uint64_t begin, std::uint64_t end);
  Status commit(Job& job);

  Engine& engine_;
  const Options options_;

  mutable std::mutex queue_mutex_;
  std::condition_variable wake_;     // for the threads
  std::condition_variable drained_;  // for writers and ingest_all
  std::deque<InodePtr> queue_;
  std::vector<InodePtr> retry_;  // failed; tried again after a pause
  std::uint64_t busy_ = 0;       // inodes in a running round
  bool stopping_ = false;
  unsigned hurrying_ = 0;    // calls that want everything ingested
  Error last_error_{0, {}};  // of the last round, if it failed
  std::atomic<std::uint64_t> since_checkpoint_{0};
  // Shared by rounds: while one reads staged data, its segments are not recycled, also not those of
  // inodes that went away meanwhile.
  std::shared_mutex rounds_;
  std::vector<std::thread> threads_;
};

}  // namespace projfs::fs
