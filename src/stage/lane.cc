// SPDX-License-Identifier: MIT
#include "stage/lane.h"

#include <algorithm>

#include "projfs/log.h"

namespace projfs::stage {
namespace {

constexpr std::size_t kBatch = 8;  // records in one write
constexpr std::uint64_t kPage = 4096;

std::size_t pieces(Bytes data) {
  return std::max<std::size_t>(1,
                               (data.size() + Stage::kMaxRecordData - 1) / Stage::kMaxRecordData);
}

Bytes piece(Bytes data, std::size_t i) {
  const auto from = i * Stage::kMaxRecordData;
  return data.subspan(from, std::min<std::size_t>(data.size() - from, Stage::kMaxRecordData));
}

// Zeros from `position` to the end of its page, or of the segment. A write ends with them: of a
// page that is written whole the kernel does not read first what it held in the segment's former
// life. That would be a read of the disk for nearly every record of a recycled segment.
iovec padding(std::uint64_t position, std::uint64_t segment_size) {
  static std::array<std::uint8_t, kPage> zeros{};
  const auto page_end = (position + kPage - 1) / kPage * kPage;
  return {zeros.data(), static_cast<std::size_t>(std::min(page_end, segment_size) - position)};
}

bool contains(std::span<Segment* const> list, const Segment* segment) {
  return std::find(list.begin(), list.end(), segment) != list.end();
}

}  // namespace

Result<Stage::Appended> Lane::append(const StageRecord& record, Bytes data) {
  const auto n = pieces(data);
  // Hashing needs nothing of the lane, so it happens before the lock.
  std::array<std::uint64_t, kBatch> few;
  std::vector<std::uint64_t> many;
  std::span<std::uint64_t> checksums(few);
  if (n > few.size()) {
    many.resize(n);
    checksums = many;
  }
  if (!data.empty()) {
    for (std::size_t i = 0; i < n; ++i) checksums[i] = checksum(piece(data, i));
  }

  Stage::Appended out;
  out.refs.reserve(n);
  std::vector<Mark> marks;
  const std::lock_guard lock(mutex_);
  const auto before = last_seq_.load(std::memory_order_relaxed);
  auto done = append_locked(record, data, checksums, marks, out);
  if (!done) [[unlikely]] {
    undo(marks, before);
    return tl::unexpected<Error>(std::move(done).error());
  }
  for (const auto& ref : out.refs) pool_.at(ref.segment)->live.fetch_add(1);
  out.seq = out.refs.back().seq;
  return out;
}

bool Lane::fits(std::uint64_t bytes) const {
  return current_ != nullptr && current_->end + bytes <= current_->size;
}

Status Lane::append_locked(const StageRecord& record, Bytes data,
                           std::span<const std::uint64_t> checksums, std::vector<Mark>& marks,
                           Stage::Appended& out) {
  const auto n = pieces(data);
  std::size_t next = 0;
  while (next < n) {
    if (!fits(record_bytes(piece(data, next).size()))) {
      PROJFS_TRY(rotate());
      marks.push_back({current_, kRecordsStart, 0});
    } else if (next == 0) {
      marks.push_back({current_, current_->end, current_->last_seq});
    }
    std::array<RecordImage, kBatch> images;
    std::array<iovec, 2 * kBatch + 1> buffers;
    std::size_t used = 0;
    const auto start = current_->end;
    auto position = start;
    auto last = current_->last_seq;
    for (std::size_t i = 0; i < kBatch && next < n; ++i, ++next) {
      const auto part = piece(data, next);
      // Every piece but the last is a multiple of the alignment, so nothing has to be padded.
      const auto bytes = record_bytes(part.size());
      if (position + bytes > current_->size) break;
      RecordHeader header;
      header.op = static_cast<std::uint8_t>(record.op);
      header.flags = record.flags;
      header.data_length = static_cast<std::uint32_t>(part.size());
      header.seq = last = ++seq_;
      header.project = record.project;
      header.inode = record.inode;
      header.offset = record.offset + next * Stage::kMaxRecordData;
      header.time_ns = record.time_ns;
      header.word = part.empty() ? record.length : checksums[next];
      encode_record(header, current_->header.nonce, images[i]);
      buffers[used++] = {images[i].data(), images[i].size()};
      if (!part.empty()) buffers[used++] = {const_cast<std::uint8_t*>(part.data()), part.size()};
      out.refs.push_back({current_->slot, header.data_length, position, last});
      position += bytes;
    }
    if (const auto rest = padding(position, current_->size); rest.iov_len != 0)
      buffers[used++] = rest;
    PROJFS_TRY(current_->file->write(start, std::span<const iovec>(buffers).first(used)));
    current_->end = position;
    current_->last_seq = last;
    last_seq_.store(last, std::memory_order_release);
  }
  return {};
}

// Takes back an append that failed half way: none of it may ever be replayed. Segments that it
// began hold nothing else and are given back; the one it found is cut where it was.
void Lane::undo(const std::vector<Mark>& marks, StageSeq last_seq) {
  for (const auto& mark : marks) {
    auto& segment = *mark.segment;
    if (mark.end == kRecordsStart) {
      std::erase(segments_, &segment);
      if (current_ == &segment) current_ = nullptr;
      if (auto gone = pool_.forget(&segment); !gone)
        log::warn("taking back a stage segment: {}", gone.error().describe());
      continue;
    }
    current_ = &segment;
    segment.end = mark.end;
    segment.synced_end = std::min(segment.synced_end, mark.end);
    segment.last_seq = mark.last_seq;
    if (auto wiped = wipe(segment, mark.end); !wiped) {
      log::error("a refused change could not be wiped from the stage: {}",
                 wiped.error().describe());
      segment.broken = true;
    }
    if (segment.broken || segment.truncated) current_ = nullptr;
  }
  if (!segments_.empty() && current_ == nullptr && !segments_.back()->broken &&
      !segments_.back()->truncated) {
    current_ = segments_.back();
  }
  last_seq_.store(last_seq, std::memory_order_release);
}

// Goes on in another segment.
Status Lane::rotate() {
  PROJFS_ASSIGN(auto* segment, pool_.take());
  RecordHeader begin;
  begin.op = kBegin;
  begin.seq = ++seq_;
  begin.project = stream_.opening;
  begin.inode = stream_.lane;
  begin.offset = last_seq_.load(std::memory_order_relaxed);
  begin.word = durable_.load(std::memory_order_relaxed);
  RecordImage image;
  encode_record(begin, segment->header.nonce, image);
  const std::array<iovec, 2> buffers = {iovec{image.data(), image.size()},
                                        padding(kRecordsStart + kRecordHeaderBytes, segment->size)};
  if (auto written = segment->file->write(kRecordsStart, buffers); !written) {
    (void)pool_.forget(segment);
    return written;
  }
  segment->end = kRecordsStart + kRecordHeaderBytes;
  segment->last_seq = begin.seq;
  segments_.push_back(segment);
  current_ = segment;
  last_seq_.store(begin.seq, std::memory_order_release);
  return {};
}

// Writes down, in the header of `segment`, that all up to `durable` is durable or not needed.
// REQUIRES: the turn; that it is so.
Status Lane::anchor(Segment& segment, StageSeq durable) {
  auto header = segment.header;
  header.durable = durable;
  if (auto written = write_header(*segment.file, header); !written) {
    // A failed sync may also have lost records.
    const std::lock_guard lock(mutex_);
    segment.broken = true;
    if (current_ == &segment) current_ = nullptr;
    return written;
  }
  anchored_ = header.durable;
  durable_.store(std::max(durable_.load(), durable), std::memory_order_release);
  return {};
}

void Lane::take_turn(std::unique_lock<std::mutex>& lock) {
  turn_over_.wait(lock, [this] { return !busy_; });
  busy_ = true;
}

void Lane::end_turn() {
  {
    const std::lock_guard lock(turn_mutex_);
    busy_ = false;
  }
  turn_over_.notify_all();
}

Status Lane::sync() {
  const auto wanted = last_seq_.load(std::memory_order_acquire);
  const auto done = [&] { return durable_.load(std::memory_order_acquire) >= wanted; };
  if (done()) return {};
  std::unique_lock lock(turn_mutex_);
  // Whoever gets the turn syncs for all that came while it was taken.
  turn_over_.wait(lock, [&] { return !busy_ || done(); });
  if (done()) return {};
  busy_ = true;
  lock.unlock();
  const auto target = sync_round({});
  if (target) durable_.store(std::max(durable_.load(), *target), std::memory_order_release);
  end_turn();
  if (!target) return tl::unexpected<Error>(target.error());
  return {};
}

// Makes everything appended so far durable, except what is in the segments `except`, which nobody
// needs, and returns up to where that is. `last` becomes the newest segment that this covers.
// Exceptions are gaps in the chain that replay only accepts once a header says so: until then
// nothing may be called durable. REQUIRES: the turn.
Result<StageSeq> Lane::sync_round(std::span<Segment* const> except, Segment** last) {
  std::vector<std::pair<Segment*, std::uint64_t>> dirty;
  StageSeq target = 0;
  {
    const std::lock_guard lock(mutex_);
    target = last_seq_.load();
    if (last != nullptr) *last = segments_.back();
    for (auto* segment : segments_) {
      if (contains(except, segment)) continue;
      if (segment->broken)
        return fail(EIO, segment->path + ": an earlier failure leaves in doubt what is on disk");
      if (segment->dirty()) dirty.emplace_back(segment, segment->end);
    }
  }
  for (const auto& [segment, end] : dirty) {
    auto synced = segment->file->sync();
    const std::lock_guard lock(mutex_);
    if (!synced) {
      segment->broken = true;
      if (current_ == segment) current_ = nullptr;
      return tl::unexpected<Error>(std::move(synced).error());
    }
    segment->synced_end = std::max(segment->synced_end, std::min(end, segment->end));
  }
  return target;
}

Lane::Candidates Lane::candidates() {
  Candidates out;
  const std::lock_guard lock(mutex_);
  for (auto* segment : segments_) {
    if (segment->live != 0) continue;
    if (segment != current_) {
      out.released.push_back(segment);
    } else if (segment->end > segment->size / 2) {
      out.current = segment;
      out.current_end = segment->end;
    }
  }
  // The last one carries what lets the others stand without their neighbours.
  if (!out.released.empty() && out.released.back() == segments_.back() &&
      out.released.size() < segments_.size()) {
    out.released.pop_back();
  }
  return out;
}

Status Lane::retire(Candidates candidates) {
  auto& released = candidates.released;
  if (released.empty() && candidates.current == nullptr) return {};
  std::unique_lock turn(turn_mutex_);
  take_turn(turn);
  turn.unlock();
  const auto work = [&]() -> Status {
    StageSeq newest = 0;
    bool others = false;
    {
      const std::lock_guard lock(mutex_);
      const bool replace_current =
          candidates.current != nullptr && candidates.current == current_ &&
          current_->end == candidates.current_end && released.size() + 1 == segments_.size();
      if (replace_current) {
        released.push_back(current_);
        current_ = nullptr;
      }
      others = released.size() < segments_.size();
      for (const auto* segment : released) newest = std::max(newest, segment->last_seq);
      if (!others) durable_.store(last_seq_.load(), std::memory_order_release);
    }
    if (released.empty()) return {};
    // Replay accepts a chain with a link missing only if a durable header says that all before it
    // was durable, or not needed.
    if (others && anchored_ < newest) {
      Segment* last = nullptr;
      PROJFS_ASSIGN(const auto durable, sync_round(released, &last));
      PROJFS_TRY(anchor(*last, durable));
    }
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(segments_, [&](auto* s) { return contains(released, s); });
    }
    for (auto* segment : released) pool_.retire(segment);
    return {};
  };
  auto status = work();
  end_turn();
  return status;
}

}  // namespace projfs::stage
