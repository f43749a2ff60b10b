// SPDX-License-Identifier: MIT
//
// What a stage left on disk: which segments count after a crash, and in what order they are
// replayed.
#pragma once

#include <vector>

#include "stage/segment_pool.h"

namespace projfs::stage {

// A stream of an earlier opening: nothing is appended to it any more, all of it is durable.
// Its last segment says that links of the chain may be missing, so it is retired last.
class OldStream {
 public:
  explicit OldStream(std::vector<Segment*> segments) : segments_(std::move(segments)) {}
  [[nodiscard]] std::vector<Segment*> candidates() const;
  Status retire(SegmentPool& pool, const std::vector<Segment*>& released);
  [[nodiscard]] bool empty() const { return segments_.empty(); }

 private:
  std::vector<Segment*> segments_;
};

struct Recovered {
  std::vector<OldStream> streams;
  std::vector<Segment*> in_order;  // to be replayed one after the other
  StageSeq last_seq = 0;           // highest found, also among what was dropped
};

// Decides which of `segments` count, makes them durable, and gives the others back to the pool,
// durably emptied.
Result<Recovered> recover(SegmentPool& pool, const std::vector<Segment*>& segments);

}  // namespace projfs::stage
