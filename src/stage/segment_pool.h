// SPDX-License-Identifier: MIT
//
// All segment files of a stage: their numbers and generations, the spares, the making of new ones.
// Thread safety: everything may be called from several threads.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "projfs/env.h"
#include "projfs/stage.h"
#include "stage/segment.h"

namespace projfs::stage {

class SegmentPool {
 public:
  SegmentPool(Env& env, std::string directory, const Stage::Options& options);
  ~SegmentPool();
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // Takes up the files in the directory, and removes what an interrupted creation left. Nothing is
  // changed if one of them is refused. The caller owns what it gets, and gives back with retire()
  // or forget() what it has no use for.
  Result<std::vector<Segment*>> load();

  // A segment with a durable header and no valid record. ENOSPC when no new one can be made.
  Result<Segment*> take();
  // Gives back a segment whose records nobody needs; it becomes a spare or is removed. If a crash
  // brings its records back, they are still not needed.
  void retire(Segment* segment);
  // Gives back a segment whose records must not come back; on success that is durable.
  Status forget(Segment* segment);

  // The segment of a reference; null if there is none.
  [[nodiscard]] Segment* at(std::uint32_t slot) const;

  // Never gives out `used` or anything below it. Not thread safe.
  void skip_generations(std::uint64_t used) { generation_ = std::max(generation_.load(), used); }
  [[nodiscard]] std::uint64_t next_generation() { return ++generation_; }
  [[nodiscard]] std::uint64_t disk_bytes() const { return disk_bytes_; }

 private:
  static constexpr std::size_t kChunk = 256;
  using Slots = std::array<std::atomic<Segment*>, kChunk>;

  enum class Fill : std::uint8_t { kNothing, kZeros };
  Result<Segment*> create(Fill fill);
  Status fill_with_zeros(File& file) const;
  Result<Segment*> insert(std::unique_ptr<Segment> segment);
  Status remove(Segment* segment);
  [[nodiscard]] bool wants(const Segment& segment) const;  // REQUIRES: mutex_
  bool keep(Segment* segment);
  void prepare();
  [[nodiscard]] std::string name(std::uint64_t number, const char* suffix) const;

  Env& env_;
  const std::string directory_;
  const Stage::Options options_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::uint64_t> number_{0};
  std::atomic<std::uint64_t> disk_bytes_{0};
  std::array<std::atomic<Slots*>, kChunk> slots_{};

  std::mutex mutex_;
  std::vector<Segment*> spares_;
  std::vector<std::uint32_t> free_slots_;
  std::uint32_t used_slots_ = 0;
  bool wanted_ = false;  // a spare should be made
  std::condition_variable wake_;
  std::atomic<bool> stop_{false};
  std::thread preparer_;
};

}  // namespace projfs::stage
