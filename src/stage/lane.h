// SPDX-License-Identifier: MIT
//
// A lane: the stream of records that one opening of the store writes one after the other, over a
// chain of segments. The chain's rule is in docs/format.md, "Which records count".
//
// Lock order: the sync turn (busy_), then mutex_, then the pool's mutex. mutex_ is held during the
// write of a record, never during a sync, except to wipe a record that could not be written whole.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "stage/segment_pool.h"

namespace projfs::stage {

class Lane {
 public:
  // `seq` is the counter of all lanes: the last sequence number given out.
  Lane(Stream stream, SegmentPool& pool, std::atomic<StageSeq>& seq)
      : stream_(stream), pool_(pool), seq_(seq) {}

  Result<Stage::Appended> append(const StageRecord& record, Bytes data);
  // All records appended before the call survive power loss after it.
  Status sync();

  // What a checkpoint may retire, once everything released so far is durable elsewhere.
  struct Candidates {
    std::vector<Segment*> released;
    const Segment* current = nullptr;  // fully released and worth replacing; its end:
    std::uint64_t current_end = 0;
  };
  [[nodiscard]] Candidates candidates();
  // REQUIRES: nothing else retired in this lane since candidates().
  Status retire(Candidates candidates);

 private:
  // Where a segment ended before an append.
  struct Mark {
    Segment* segment = nullptr;
    std::uint64_t end = 0;
    StageSeq last_seq = 0;
  };

  Status append_locked(const StageRecord& record, Bytes data,
                       std::span<const std::uint64_t> checksums, std::vector<Mark>& marks,
                       Stage::Appended& out);
  void undo(const std::vector<Mark>& marks, StageSeq last_seq);
  [[nodiscard]] bool fits(std::uint64_t bytes) const;
  Status rotate();
  Status anchor(Segment& segment, StageSeq durable);
  Result<StageSeq> sync_round(std::span<Segment* const> except, Segment** last = nullptr);
  void take_turn(std::unique_lock<std::mutex>& lock);
  void end_turn();

  const Stream stream_;
  SegmentPool& pool_;
  std::atomic<StageSeq>& seq_;

  std::mutex mutex_;
  std::vector<Segment*> segments_;     // the chain, oldest first; guarded by mutex_
  Segment* current_ = nullptr;         // the last of them, or null; guarded by mutex_
  std::atomic<StageSeq> last_seq_{0};  // last record of the stream; written under mutex_
  // Every record up to this one is durable, or no longer needed.
  std::atomic<StageSeq> durable_{0};

  // Only one thread at a time syncs or retires.
  std::mutex turn_mutex_;
  std::condition_variable turn_over_;
  bool busy_ = false;
  StageSeq anchored_ = 0;  // highest durable_ that a durable header says; owned by the turn
};

}  // namespace projfs::stage
