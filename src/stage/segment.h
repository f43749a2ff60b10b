// SPDX-License-Identifier: MIT
//
// One segment file of the stage, and the scan over the records that are valid in it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "projfs/env.h"
#include "stage/format.h"

namespace projfs::stage {

// A segment belongs to one owner at a time (a lane, an old stream, the pool of spares). Members
// that are not atomic are guarded by its owner's mutex.
struct Segment {
  std::unique_ptr<File> file;
  std::string path;
  std::uint32_t slot = 0;  // process-local number
  std::uint64_t size = 0;  // of the file
  SegmentHeader header;

  std::uint64_t end = kRecordsStart;         // where the next record goes
  std::uint64_t synced_end = kRecordsStart;  // what is durable
  StageSeq last_seq = 0;                     // of the records in it
  // A sync failed: the kernel may have dropped dirty pages and call the next sync a success. Or a
  // record that was refused to its writer could not be wiped. Only retiring it heals that.
  bool broken = false;
  bool truncated = false;  // shorter than `size`; takes no more records

  std::atomic<std::uint64_t> live{0};  // references not yet released

  [[nodiscard]] bool dirty() const { return end > synced_end; }
};

// Rewrites the header, durably. One copy of it is intact at every instant.
Status write_header(File& file, const SegmentHeader& header);

// Starts a new life of the segment: whatever records it holds become invalid, durably.
Status begin_life(Segment& segment, std::uint64_t generation);

// Makes the record at `position`, and with it all that follow, invalid, durably.
Status wipe(Segment& segment, std::uint64_t position);

// Walks the valid records of a segment from its beginning.
class Scan {
 public:
  // `verify_data` false: trusts data checksums that an earlier scan has verified.
  Scan(const Segment& segment, std::uint64_t size, bool verify_data)
      : file_(*segment.file),
        size_(size),
        nonce_(segment.header.nonce),
        verify_data_(verify_data) {}

  // Moves to the next record; false at the first thing that is no valid successor of the one
  // before.
  Result<bool> next();
  [[nodiscard]] const RecordHeader& record() const { return record_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }  // behind the current record

 private:
  Result<Bytes> window(std::uint64_t offset, std::size_t size);

  File& file_;
  const std::uint64_t size_;
  const std::uint64_t nonce_;
  const bool verify_data_;
  RecordHeader record_;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = kRecordsStart;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t buffer_offset_ = 0;
  std::size_t buffer_size_ = 0;
};

}  // namespace projfs::stage
