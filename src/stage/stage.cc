// SPDX-License-Identifier: MIT
#include "projfs/stage.h"

#include <algorithm>
#include <deque>
#include <mutex>

#include "stage/lane.h"
#include "stage/recovery.h"

namespace projfs {
namespace {

using stage::Lane;
using stage::OldStream;
using stage::Scan;
using stage::Segment;
using stage::SegmentPool;

class SegmentedStage final : public Stage {
 public:
  SegmentedStage(Env& env, std::string directory, const Options& options)
      : options_(options), pool_(env, std::move(directory), options) {}

  Status start(StageSeq first_seq, const Replay& replay);

  Result<Appended> append(const StageRecord& record, Bytes data) override;
  Status read(const StageRef& ref, std::uint32_t offset, MutableBytes out) override;
  void release(const StageRef& ref) override;
  Status checkpoint(const std::function<Status()>& make_durable) override;
  Status sync(std::uint64_t project, std::uint64_t inode) override {
    return lane(project, inode).sync();
  }
  Status sync_all() override;
  StageSeq last_seq() const override { return seq_; }
  std::uint64_t staged_bytes() const override { return staged_bytes_; }
  std::uint64_t disk_bytes() const override { return pool_.disk_bytes(); }

 private:
  Lane& lane(std::uint64_t project, std::uint64_t inode);
  Status replay_segment(Segment& segment, const Replay& replay);

  const Options options_;
  SegmentPool pool_;
  std::atomic<StageSeq> seq_{0};
  std::atomic<std::uint64_t> staged_bytes_{0};
  std::deque<Lane> lanes_;
  std::mutex checkpoint_mutex_;  // one checkpoint at a time; guards old_
  std::vector<OldStream> old_;
};

Status SegmentedStage::start(StageSeq first_seq, const Replay& replay) {
  PROJFS_ASSIGN(const auto segments, pool_.load());
  PROJFS_ASSIGN(auto found, stage::recover(pool_, segments));
  for (auto* segment : found.in_order) PROJFS_TRY(replay_segment(*segment, replay));
  old_ = std::move(found.streams);
  seq_ = std::max(found.last_seq, first_seq == 0 ? 0 : first_seq - 1);
  // No stream that is still there has this number: recovery has skipped theirs.
  const auto opening = pool_.next_generation();
  for (unsigned i = 0; i < options_.lanes; ++i)
    lanes_.emplace_back(stage::Stream{opening, i}, pool_, seq_);
  return {};
}

Status SegmentedStage::replay_segment(Segment& segment, const Replay& replay) {
  Scan scan(segment, segment.end, false);
  for (;;) {
    PROJFS_ASSIGN(const bool more, scan.next());
    if (!more) return {};
    const auto& header = scan.record();
    if (header.op == stage::kBegin) continue;
    StageRecord record;
    record.op = static_cast<StageOp>(header.op);
    record.flags = header.flags;
    record.project = header.project;
    record.inode = header.inode;
    record.offset = header.offset;
    record.length = header.data_length > 0 ? header.data_length : header.word;
    record.time_ns = header.time_ns;
    const StageRef ref{segment.slot, header.data_length, scan.position(), header.seq};
    PROJFS_ASSIGN(const bool needed, replay(record, header.seq, ref));
    if (!needed) continue;
    ++segment.live;
    staged_bytes_ += ref.length;
  }
}

Lane& SegmentedStage::lane(std::uint64_t project, std::uint64_t inode) {
  // The finalizer of splitmix64: neighbouring inodes spread evenly.
  std::uint64_t h = inode + project * 0x9e3779b97f4a7c15;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  h ^= h >> 31;
  return lanes_[h % lanes_.size()];
}

Result<Stage::Appended> SegmentedStage::append(const StageRecord& record, Bytes data) {
  if ((record.op == StageOp::kWrite) != !data.empty())
    return fail(EINVAL, "a staged write has data, any other change has none");
  auto out = lane(record.project, record.inode).append(record, data);
  if (out) staged_bytes_ += data.size();
  return out;
}

Status SegmentedStage::read(const StageRef& ref, std::uint32_t offset, MutableBytes out) {
  if (std::uint64_t{offset} + out.size() > ref.length)
    return fail(EINVAL, "a read past the end of a staged record");
  auto* segment = pool_.at(ref.segment);
  if (segment == nullptr) return fail(EIO, "a staged record is gone");
  thread_local std::vector<std::uint8_t> buffer(stage::kRecordHeaderBytes + kMaxRecordData);
  const auto whole = MutableBytes(buffer).first(stage::kRecordHeaderBytes + ref.length);
  PROJFS_ASSIGN(const auto n, segment->file->read(ref.position, whole));
  const auto header =
      stage::decode_record(Bytes(whole).first(std::min(n, whole.size())), segment->header.nonce);
  const auto data = Bytes(whole).subspan(stage::kRecordHeaderBytes);
  if (n != whole.size() || !header || header->seq != ref.seq || header->data_length != ref.length ||
      stage::checksum(data) != header->word) {
    return fail(EIO, "a record of the stage is damaged: " + segment->path + " at " +
                         std::to_string(ref.position));
  }
  std::copy_n(data.begin() + offset, out.size(), out.begin());
  return {};
}

void SegmentedStage::release(const StageRef& ref) {
  if (auto* segment = pool_.at(ref.segment)) {
    segment->live.fetch_sub(1);
    staged_bytes_ -= ref.length;
  }
}

Status SegmentedStage::checkpoint(const std::function<Status()>& make_durable) {
  const std::lock_guard lock(checkpoint_mutex_);
  std::vector<Lane::Candidates> candidates;
  std::vector<std::vector<Segment*>> old;
  for (auto& lane : lanes_) candidates.push_back(lane.candidates());
  for (const auto& stream : old_) old.push_back(stream.candidates());
  PROJFS_TRY(make_durable());
  // A lane in trouble must not keep the others from giving back their space.
  Status result;
  for (std::size_t i = 0; i < old_.size(); ++i) {
    if (auto status = old_[i].retire(pool_, old[i]); !status) result = status;
  }
  std::erase_if(old_, [](const auto& stream) { return stream.empty(); });
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (auto status = lanes_[i].retire(std::move(candidates[i])); !status) result = status;
  }
  return result;
}

Status SegmentedStage::sync_all() {
  Status result;
  for (auto& lane : lanes_) {
    if (auto status = lane.sync(); !status) result = status;
  }
  return result;
}

}  // namespace

Result<std::unique_ptr<Stage>> Stage::open(Env& env, std::string directory, const Options& options,
                                           StageSeq first_seq, const Replay& replay) {
  // Room for at least one record of the greatest length.
  constexpr std::uint64_t kLeast = 256 << 10;
  if (options.lanes == 0 || options.segment_bytes < kLeast || options.segment_bytes % 16 != 0)
    return fail(EINVAL, "a stage needs a lane, and segments of 256 KiB or more");
  PROJFS_ASSIGN(const bool there, env.exists(directory));
  if (!there) {
    PROJFS_TRY(env.make_directory(directory, 0700));
    const auto slash = directory.find_last_of('/');
    PROJFS_TRY(
        env.sync_directory(slash == std::string::npos ? "." : directory.substr(0, slash + 1)));
  }
  auto stage = std::make_unique<SegmentedStage>(env, std::move(directory), options);
  PROJFS_TRY(stage->start(first_seq, replay));
  return stage;
}

}  // namespace projfs
