// SPDX-License-Identifier: MIT
//
// The stage: the log that holds acknowledged changes of file data until they are ingested.
// Records of one inode always go to the same lane, so they are replayed in the order of their
// sequence numbers; lanes are independent, so a torn tail in one never hides another's records.
//
// On disk: `stage/<number>.seg` segment files, preallocated and recycled, each a header and a run
// of self-describing, checksummed records of one lane. See docs/format.md.
//
// Durability: append() returns when the record survives a kill of the process; sync() when it
// survives power loss. Thread safety: everything may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "projfs/bytes.h"
#include "projfs/env.h"
#include "projfs/result.h"

namespace projfs {

// Store-wide, growing, never repeated (each opening of a store starts a higher range). 0: before
// everything.
using StageSeq = std::uint64_t;

enum class StageOp : std::uint8_t {
  kWrite = 1,     // data at [offset, offset + length)
  kTruncate = 2,  // the size becomes `length`
  kAllocate =
      3,  // unallocated blocks in [offset, offset+length) become allocated zeros; flags: keep size
  kPunch = 4,  // the range becomes a hole
  kZero = 5,   // the range becomes allocated zeros; flags: keep size
};

// What one record says, without its data.
struct StageRecord {
  StageOp op = StageOp::kWrite;
  std::uint8_t flags = 0;  // the fs layer's own bits, kept as given
  std::uint64_t project = 0;
  std::uint64_t inode = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::int64_t time_ns = 0;  // of the change, since the Unix epoch
};

// Where the data of a staged write is. Valid until released.
struct StageRef {
  std::uint32_t segment = 0;   // process-local number of the segment
  std::uint32_t length = 0;    // of the data
  std::uint64_t position = 0;  // of the record in the segment file
  StageSeq seq = 0;
};

class Stage {
 public:
  // A write longer than this is appended as several records, each with its own StageRef, so that a
  // small read verifies a bounded amount.
  static constexpr std::uint32_t kMaxRecordData = 128 << 10;

  struct Options {
    unsigned lanes = 4;
    std::uint64_t segment_bytes = 32ull << 20;
    unsigned spare_segments = 4;  // recycled segments kept for the next writer
  };

  // Opens `directory` (created if missing). `first_seq` must exceed every sequence number used
  // before. Replays what is there, in order within each inode: `replay` sees each record with its
  // reference (kWrite only) and says whether it is still needed; those it does not need are
  // released. A record that a crash tore, and everything after it in that lane, was never
  // acknowledged as durable and is dropped. Segments of a newer format are refused, nothing is
  // changed then.
  using Replay = std::function<Result<bool>(const StageRecord&, StageSeq, const StageRef&)>;
  static Result<std::unique_ptr<Stage>> open(Env& env, std::string directory,
                                             const Options& options, StageSeq first_seq,
                                             const Replay& replay);
  virtual ~Stage() = default;

  // Appends one change; `data` is non-empty for kWrite only (length = data.size()). Returns the
  // references in order of offset (one per record; a single one, without data, for other ops).
  // Each reference holds its segment until release(). All records of a call become visible to
  // replay together or, after a crash inside the call, as a prefix.
  // ENOSPC when no segment can be had. Increasing seq within an inode is guaranteed only if calls
  // for one inode do not overlap.
  struct Appended {
    StageSeq seq = 0;  // of the last record
    std::vector<StageRef> refs;
  };
  virtual Result<Appended> append(const StageRecord& record, Bytes data) = 0;

  // Reads data of a staged write, verified against the record's checksum.
  virtual Status read(const StageRef& ref, std::uint32_t offset, MutableBytes out) = 0;

  // The record is no longer needed: what it said is in the index, or void. A segment whose records
  // are all released is recycled, but only at the next checkpoint().
  virtual void release(const StageRef& ref) = 0;
  // Calls `make_durable` (which syncs the index), then overwrites or removes the segments that were
  // fully released when the call began. Releases made meanwhile wait for the next checkpoint.
  virtual Status checkpoint(const std::function<Status()>& make_durable) = 0;
  // For a caller who has already made durable everything that releases before this call rest on.
  Status checkpoint() {
    return checkpoint([] { return Status(); });
  }

  // Makes all records appended before this call for `inode` of `project` survive power loss.
  // Concurrent calls share a sync. A lane with nothing new costs nothing.
  virtual Status sync(std::uint64_t project, std::uint64_t inode) = 0;
  virtual Status sync_all() = 0;

  // Highest sequence number given out, or found at open.
  [[nodiscard]] virtual StageSeq last_seq() const = 0;
  // Data not yet released, and what the segment files take on disk.
  [[nodiscard]] virtual std::uint64_t staged_bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t disk_bytes() const = 0;
};

}  // namespace projfs
