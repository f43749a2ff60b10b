// SPDX-License-Identifier: MIT
#include "stage/recovery.h"

#include <algorithm>
#include <map>

#include "projfs/log.h"

namespace projfs::stage {
namespace {

struct Found {
  Segment* segment = nullptr;
  RecordHeader begin;
  StageSeq last_seq = 0;
  StageSeq durable = 0;  // highest that its records say
  bool cut = false;      // ends earlier than its valid records do
};

// Fills in segment.end and segment.last_seq. An empty segment has no begin: begin.op is 0.
Result<Found> inspect(Segment& segment) {
  Found found{.segment = &segment};
  found.durable = segment.header.durable;
  Scan scan(segment, segment.size, true);
  for (;;) {
    PROJFS_ASSIGN(const bool more, scan.next());
    if (!more) break;
    const auto& record = scan.record();
    if (record.op == kBegin) {
      found.begin = record;
      found.durable = std::max(found.durable, record.durable());
    }
    found.last_seq = record.seq;
  }
  segment.end = scan.end();
  segment.last_seq = found.last_seq;
  return found;
}

// Ends the segment after the record `last`.
Status cut(Found& found, StageSeq last) {
  auto& segment = *found.segment;
  Scan scan(segment, segment.size, false);
  std::uint64_t end = kRecordsStart;
  for (;;) {
    PROJFS_ASSIGN(const bool more, scan.next());
    if (!more || scan.record().seq > last) break;
    end = scan.end();
    found.last_seq = scan.record().seq;
  }
  segment.end = end;
  segment.last_seq = found.last_seq;
  found.cut = true;
  return {};
}

// The chain rule of docs/format.md: keeps what counts in `chain` (one stream, oldest first), moves
// the rest to `dropped`.
Status follow(std::vector<Found>& chain, std::vector<Segment*>& dropped) {
  StageSeq durable = 0;
  for (const auto& found : chain) durable = std::max(durable, found.durable);

  std::vector<Found> kept;
  bool broken = false;
  for (auto& found : chain) {
    const auto previous = found.begin.offset;
    // Records after the one that this segment follows were refused to their writers.
    while (!kept.empty() && kept.back().begin.seq > previous) {
      dropped.push_back(kept.back().segment);
      kept.pop_back();
    }
    if (!kept.empty() && kept.back().last_seq > previous) PROJFS_TRY(cut(kept.back(), previous));
    const auto last = kept.empty() ? 0 : kept.back().last_seq;
    broken = broken || previous > std::max(durable, last);
    if (broken) {
      dropped.push_back(found.segment);
    } else {
      kept.push_back(found);
    }
  }
  chain = std::move(kept);
  return {};
}

}  // namespace

std::vector<Segment*> OldStream::candidates() const {
  std::vector<Segment*> out;
  for (auto* segment : segments_) {
    if (segment->live == 0) out.push_back(segment);
  }
  if (out.size() < segments_.size() && !out.empty() && out.back() == segments_.back())
    out.pop_back();
  return out;
}

Status OldStream::retire(SegmentPool& pool, const std::vector<Segment*>& released) {
  if (!released.empty() && released.size() < segments_.size()) {
    // What is left counts although links before it are missing.
    auto& last = *segments_.back();
    auto header = last.header;
    header.durable = last.last_seq;
    if (header.durable != last.header.durable) {
      PROJFS_TRY(write_header(*last.file, header));
      last.header = header;
    }
  }
  for (auto* segment : released) {
    std::erase(segments_, segment);
    pool.retire(segment);
  }
  return {};
}

Result<Recovered> recover(SegmentPool& pool, const std::vector<Segment*>& segments) {
  Recovered out;
  std::vector<Segment*> dropped;
  std::map<Stream, std::vector<Found>> streams;
  for (auto* segment : segments) {
    PROJFS_ASSIGN(auto found, inspect(*segment));
    out.last_seq = std::max(out.last_seq, found.last_seq);
    if (found.begin.op == kBegin) {
      pool.skip_generations(found.begin.stream().opening);
      streams[found.begin.stream()].push_back(found);
    } else {
      dropped.push_back(segment);
    }
  }

  std::vector<Found> all;
  std::size_t torn = 0;
  for (auto& [stream, chain] : streams) {
    std::sort(chain.begin(), chain.end(),
              [](const Found& a, const Found& b) { return a.begin.seq < b.begin.seq; });
    const auto before = dropped.size();
    PROJFS_TRY(follow(chain, dropped));
    torn += dropped.size() - before;
    std::vector<Segment*> kept;
    for (const auto& found : chain) {
      kept.push_back(found.segment);
      all.push_back(found);
    }
    if (!kept.empty()) out.streams.emplace_back(std::move(kept));
  }
  if (torn > 0)
    log::warn("{} stage segments behind a torn record, never synced, were dropped", torn);

  // What is replayed now will be built upon, and what is dropped must not come back when the record
  // that decides about it is gone: both before anything else happens.
  for (auto& found : all) {
    auto& segment = *found.segment;
    if (found.cut) PROJFS_TRY(wipe(segment, segment.end));
    PROJFS_TRY(segment.file->sync());
    segment.synced_end = segment.end;
  }
  for (auto* segment : dropped) PROJFS_TRY(pool.forget(segment));

  std::sort(all.begin(), all.end(),
            [](const Found& a, const Found& b) { return a.begin.seq < b.begin.seq; });
  for (const auto& found : all) out.in_order.push_back(found.segment);
  return out;
}

}  // namespace projfs::stage
