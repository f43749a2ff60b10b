// SPDX-License-Identifier: MIT
#include "fs/ingester.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <tuple>

#include "fs/data_change.h"
#include "fs/extent_commit.h"
#include "fs/file_map.h"
#include "fs/project.h"
#include "meta/change.h"
#include "projfs/log.h"

namespace projfs::fs {
namespace {

// A round ends at this much data or so many inodes: one sync of the pack is shared by all of them.
constexpr std::uint64_t kRoundBytes = 32 << 20;
constexpr std::size_t kRoundInodes = 512;
// Data is read and cut in windows of this size, so that memory does not grow with the file.
constexpr std::uint64_t kWindow = 4 << 20;
// The stage may recycle segments after so much has been ingested.
constexpr std::uint64_t kCheckpointBytes = 64 << 20;
// A segment with more extents than this is cut again as a whole.
constexpr std::size_t kFragmented = 384;

bool all_zero(Bytes data) {
  return data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

}  // namespace

struct Ingester::Job {
  InodePtr inode;
  std::unique_lock<std::mutex> ingest_lock;
  bool captured = false;
  // As of the capture:
  Overlay overlay;
  bool has_extents = false;
  CapturedState state;
  // The work:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> runs;  // ranges of data to cut
  std::vector<NewExtent> extents;
};

Ingester::Ingester(Engine& engine, const Options& options) : engine_(engine), options_(options) {
  for (unsigned i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "ingest");
      // Readers and writers go first; under pressure they wait for us anyway.
      setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
      run();
    });
  }
}

Ingester::~Ingester() {
  {
    const std::lock_guard lock(queue_mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  drained_.notify_all();
  for (auto& t : threads_) t.join();
}

void Ingester::enqueue(const InodePtr& inode) {
  if (inode->queued.exchange(true)) return;
  const std::lock_guard lock(queue_mutex_);
  queue_.push_back(inode);
  if (queue_.size() == 1) wake_.notify_one();
}

bool Ingester::under_pressure() const {
  return hurrying_ != 0 || engine_.stage.staged_bytes() > options_.stage_bytes / 2 ||
         engine_.counters.staged_records > options_.overlay_extents / 2;
}

Status Ingester::throttle(const Project& project) {
  project.wait_while_held();
  const auto too_much = [this] {
    return engine_.stage.staged_bytes() > options_.stage_bytes ||
           engine_.counters.staged_records > options_.overlay_extents;
  };
  if (!too_much()) [[likely]]
    return {};
  ++engine_.counters.writes_throttled;
  std::unique_lock lock(queue_mutex_);
  wake_.notify_all();
  if (threads_.empty()) {
    lock.unlock();
    return ingest_all();
  }
  while (too_much() && !stopping_) {
    if (last_error_.code != 0) return tl::unexpected<Error>(last_error_);
    drained_.wait_for(lock, std::chrono::milliseconds(200));
  }
  return {};
}

std::vector<InodePtr> Ingester::next_batch() {
  std::vector<InodePtr> batch;
  std::uint64_t bytes = 0;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::size_t looks = queue_.size();
  while (!queue_.empty() && looks-- > 0 && batch.size() < kRoundInodes && bytes < kRoundBytes) {
    InodePtr inode = std::move(queue_.front());
    queue_.pop_front();
    const bool ripe = under_pressure() || inode->overdue ||
                      now - std::chrono::nanoseconds(inode->last_write_ns) >= options_.quiet;
    if (ripe) {
      bytes += inode->staged_bytes;
      batch.push_back(std::move(inode));
    } else {
      queue_.push_back(std::move(inode));
      // The queue is by first write; one that is still being written goes to its end, and those
      // behind it are younger still unless they were moved likewise: a bounded look is enough.
      if (looks > 64) looks = 64;
    }
  }
  return batch;
}

void Ingester::run() {
  std::unique_lock lock(queue_mutex_);
  while (!stopping_) {
    auto batch = next_batch();
    if (batch.empty()) {
      if (queue_.empty() && retry_.empty()) {
        if (since_checkpoint_ > 0) {
          lock.unlock();
          if (const auto s = checkpoint(); !s)
            log::error("the stage cannot be recycled: {}", s.error().describe());
          lock.lock();
          if (!queue_.empty()) continue;
        }
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        continue;
      }
      wake_.wait_for(lock, std::chrono::milliseconds(retry_.empty() ? 250 : 1000));
      for (auto& inode : retry_) queue_.push_back(std::move(inode));
      retry_.clear();
      continue;
    }
    busy_ += batch.size();
    lock.unlock();
    auto status = round(batch);
    if (status && since_checkpoint_ >= kCheckpointBytes) status = checkpoint();
    if (!status) {
      log::error("ingestion failed, what is staged stays staged and is tried again: {}",
                 status.error().describe());
    }
    lock.lock();
    busy_ -= batch.size();
    last_error_ = status ? Error{0, {}} : status.error();
    if (!status) {
      for (auto& inode : batch) {
        if (!inode->queued.exchange(true)) retry_.push_back(std::move(inode));
      }
    }
    drained_.notify_all();
  }
}

Status Ingester::round(const std::vector<InodePtr>& inodes) {
  const std::shared_lock no_checkpoint(rounds_);
  auto ingest = engine_.chunks.begin();
  std::vector<Job> jobs(inodes.size());
  // Ingest locks are taken in one order (by project and number): rounds of several threads and
  // single-inode calls cannot wait for each other in a circle.
  auto order = inodes;
  std::sort(order.begin(), order.end(), [](const InodePtr& a, const InodePtr& b) {
    return std::tuple(a->project->number(), a->ino, a.get()) <
           std::tuple(b->project->number(), b->ino, b.get());
  });
  // One that was ingested out of its turn and then written again is in the queue twice. So there
  // may be, besides, the object that had its number before a rollback brought the inode back.
  order.erase(std::unique(order.begin(), order.end()), order.end());
  Status result;
  std::size_t made = 0;
  for (; made < order.size(); ++made) {
    auto& job = jobs[made];
    job.inode = order[made];
    job.ingest_lock = std::unique_lock(job.inode->ingest_mutex);
    result = capture(job);
    if (result && job.captured) result = make_chunks(job, *ingest);
    if (!result) break;
  }
  if (result) result = ingest->finish();
  if (result) {
    for (auto& job : jobs) {
      if (job.captured) result = commit(job);
      if (!result) break;
    }
  }
  if (!result) {
    for (auto& job : jobs) {
      if (!job.captured) continue;
      const std::unique_lock lock(job.inode->mutex);
      job.inode->ingesting = false;
    }
  }
  const auto totals = ingest->totals();
  engine_.counters.ingested_bytes += totals.bytes_added;
  engine_.counters.new_chunk_bytes += totals.bytes_new;
  engine_.counters.pack_bytes_written += totals.bytes_written;
  ++engine_.counters.ingest_rounds;
  return result;
}

Status Ingester::capture(Job& job) {
  Inode& inode = *job.inode;
  // Cleared first: a write after this capture puts the inode in the queue again.
  inode.queued = false;
  const std::unique_lock lock(inode.mutex);
  if (inode.gone || (inode.staged.empty() && inode.frozen.empty())) return {};
  job.captured = true;
  inode.ingesting = true;
  job.has_extents = inode.record.allocated != 0;
  if (inode.frozen.empty()) {
    job.overlay = inode.overlay;
    job.state = {inode.size, inode.allocated, inode.sparse, inode.last_seq, inode.state_epoch};
  } else {
    const auto& past = inode.frozen.front();
    job.overlay = past.overlay;
    job.state = {past.size, past.allocated, past.sparse, past.seq, past.epoch};
  }
  return {};
}

Status Ingester::make_chunks(Job& job, ChunkStore::Ingest& ingest) {
  for (const auto& [begin, e] : job.overlay.entries()) {
    if (e.kind == PieceKind::kStaged) {
      if (!job.runs.empty() && job.runs.back().second == begin) {
        job.runs.back().second = e.end;
      } else {
        job.runs.emplace_back(begin, e.end);
      }
    } else {
      job.extents.push_back({e.begin, e.end, e.kind, 0, 0});
    }
  }
  for (auto& [begin, end] : job.runs) {
    // A file that grows by appending was cut wherever the data ended; the last chunk joins the new
    // data, so that the cuts are where they would be had it been written at once.
    if (job.has_extents && begin > 0) {
      const auto segment = (begin - 1) / meta::kSegmentBytes;
      PROJFS_ASSIGN(const auto list, load_segment(*job.inode->project, job.inode->ino, segment));
      const auto at = static_cast<std::uint32_t>(begin - segment * meta::kSegmentBytes);
      const auto e = list.find(at - 1);
      if (e != list.extents().end() && e->offset < at && e->end() >= at &&
          e->kind == meta::ExtentKind::kChunk && e->length < (64u << 10)) {
        const auto from = segment * meta::kSegmentBytes + e->offset;
        const auto over = job.overlay.find(from);
        const bool clean = over == job.overlay.end() || over->second.begin >= begin;
        if (clean) begin = from;
      }
      if (list.extents().size() > kFragmented) {
        // Whole again: the rest of this segment is cut together with the new data.
        begin = std::min(begin, segment * meta::kSegmentBytes);
        end = std::max(end, std::min((segment + 1) * meta::kSegmentBytes, job.state.size));
      }
    }
  }
  // Runs that grew into each other are one.
  std::sort(job.runs.begin(), job.runs.end());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> joined;
  for (const auto& run : job.runs) {
    if (!joined.empty() && run.first <= joined.back().second) {
      joined.back().second = std::max(joined.back().second, run.second);
    } else {
      joined.push_back(run);
    }
  }
  for (const auto& [begin, end] : joined) PROJFS_TRY(chunk_run(job, ingest, begin, end));
  return {};
}

Status Ingester::chunk_run(Job& job, ChunkStore::Ingest& ingest, std::uint64_t begin,
                           std::uint64_t end) {
  static thread_local std::vector<std::uint8_t> buffer;
  const DedupScope scope{job.inode->project->dedup_key()};
  std::uint64_t at = begin;
  while (at < end) {
    const auto upto = std::min(end, at + kWindow);
    buffer.resize(upto - at);
    // A run may include holes and reserved blocks (when a whole segment is cut again): those stay.
    std::vector<Piece> pieces;
    PROJFS_TRY(for_each_piece(*job.inode->project, job.inode->ino, job.overlay, job.has_extents, at,
                              upto, [&](const Piece& p) {
                                pieces.push_back(p);
                                return true;
                              }));
    PROJFS_TRY(read_pieces(engine_, pieces, at, buffer));
    std::uint64_t next = upto;
    std::size_t i = 0;
    while (i < pieces.size()) {
      const auto is_data = [](const Piece& p) {
        return p.kind == PieceKind::kStaged || p.kind == PieceKind::kChunk;
      };
      if (!is_data(pieces[i])) {
        if (pieces[i].kind != PieceKind::kHole)
          job.extents.push_back({pieces[i].begin, pieces[i].end, pieces[i].kind, 0, 0});
        ++i;
        continue;
      }
      const auto from = pieces[i].begin;
      while (i < pieces.size() && is_data(pieces[i])) ++i;
      const auto to = pieces[i - 1].end;
      const Bytes data(buffer.data() + (from - at), to - from);
      auto lengths = engine_.chunks.cut(data);
      // The last piece of a window ends where the window does: it is cut again with what follows.
      if (to == upto && upto < end && lengths.size() > 1) {
        next = upto - lengths.back();
        lengths.pop_back();
      }
      std::size_t offset = 0;
      for (const auto length : lengths) {
        const Bytes piece = data.subspan(offset, length);
        const auto where = from + offset;
        if (all_zero(piece)) {
          job.extents.push_back({where, where + length, PieceKind::kZero, 0, 0});
        } else {
          PROJFS_ASSIGN(const auto chunk, ingest.add(piece, scope));
          job.extents.push_back({where, where + length, PieceKind::kChunk, chunk, 0});
        }
        offset += length;
      }
    }
    at = next;
  }
  return {};
}

Status Ingester::commit(Job& job) {
  Inode& inode = *job.inode;
  std::uint64_t bytes = 0;
  {
    const std::shared_lock quiesce(inode.project->quiesce);
    const std::shared_lock chains_stay(inode.project->history_gate);
    const std::unique_lock lock(inode.mutex);
    inode.ingesting = false;
    job.captured = false;
    if (inode.gone) return {};
    PROJFS_TRY(commit_extents(engine_, inode, job.state, job.extents));
    // A frozen state is done with once all of it is in the index. One that was frozen after the
    // capture may have got more since.
    if (!inode.frozen.empty() && inode.frozen.front().epoch == job.state.epoch &&
        inode.frozen.front().seq <= job.state.seq)
      inode.frozen.erase(inode.frozen.begin());
    for (auto& later : inode.frozen) later.overlay.drop_through(job.state.seq);
    inode.overlay.drop_through(job.state.seq);
    bytes = release_staged(engine_, inode, job.state.seq);
    inode.overdue = !inode.frozen.empty();
    if (inode.overdue || !inode.staged.empty()) enqueue(job.inode);
  }
  since_checkpoint_ += bytes + 1;
  return {};
}

Status Ingester::ingest(const InodePtr& inode) {
  while (true) {
    PROJFS_TRY(round({inode}));
    const std::shared_lock lock(inode->mutex);
    if (inode->gone || inode->frozen.empty()) return {};
  }
}

namespace {

// Something of an epoch up to `upto` is staged.
bool lags(const Inode& inode, meta::Epoch upto) {
  const std::shared_lock lock(inode.mutex);
  if (inode.gone) return false;
  return (!inode.frozen.empty() && inode.frozen.front().epoch <= upto) ||
         (!inode.staged.empty() && inode.state_epoch <= upto);
}

}  // namespace

Status Ingester::ingest_project(meta::ProjectNo project, meta::Epoch upto) {
  while (true) {
    auto behind = engine_.inodes.of_project(project);
    std::erase_if(behind, [upto](const InodePtr& inode) { return !lags(*inode, upto); });
    if (behind.empty()) return {};
    while (!behind.empty()) {
      std::vector<InodePtr> batch;
      for (std::uint64_t bytes = 0;
           !behind.empty() && batch.size() < kRoundInodes && bytes < kRoundBytes;
           behind.pop_back()) {
        bytes += behind.back()->staged_bytes;
        batch.push_back(behind.back());
      }
      if (auto status = round(batch); !status) {
        for (const auto& inode : batch) enqueue(inode);
        return status;
      }
    }
  }
}

bool Ingester::anything_staged(meta::ProjectNo project) const {
  const auto all = engine_.inodes.of_project(project);
  return std::any_of(all.begin(), all.end(),
                     [](const InodePtr& inode) { return lags(*inode, ~meta::Epoch{0}); });
}

Status Ingester::ingest_all() {
  if (threads_.empty()) {
    while (true) {
      std::vector<InodePtr> batch;
      {
        std::unique_lock lock(queue_mutex_);
        ++hurrying_;
        batch = next_batch();
        --hurrying_;
      }
      if (batch.empty()) return checkpoint();
      if (auto status = round(batch); !status) {
        for (const auto& inode : batch) enqueue(inode);
        return status;
      }
    }
  }
  {
    std::unique_lock lock(queue_mutex_);
    ++hurrying_;
    wake_.notify_all();
    while (!stopping_ && (!queue_.empty() || busy_ != 0)) {
      drained_.wait_for(lock, std::chrono::milliseconds(50));
      wake_.notify_all();
      if (last_error_.code != 0) break;
    }
    --hurrying_;
    if (last_error_.code != 0) return tl::unexpected<Error>(last_error_);
  }
  return checkpoint();
}

Status Ingester::checkpoint() {
  const std::unique_lock lock(rounds_);
  since_checkpoint_ = 0;
  // What made the releases possible becomes durable before the segments are reused. Not only rounds
  // release: whoever removes an inode does, at any time, so what was released is looked at first.
  return engine_.stage.checkpoint([this] { return engine_.index_sync.sync(); });
}

}  // namespace projfs::fs
