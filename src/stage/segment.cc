// SPDX-License-Identifier: MIT
#include "stage/segment.h"

#include <algorithm>
#include <random>

namespace projfs::stage {
namespace {

// Large enough that a scan is bound by the disk, and for any record.
constexpr std::size_t kWindow = 1 << 20;
static_assert(kWindow >= kRecordHeaderBytes + Stage::kMaxRecordData);

std::uint64_t random_nonce() {
  thread_local std::random_device device;
  return std::uniform_int_distribution<std::uint64_t>()(device);
}

}  // namespace

Status write_header(File& file, const SegmentHeader& header) {
  const auto image = encode_header(header);
  for (const auto offset : {std::uint64_t{0}, kHeaderSpacing}) {
    PROJFS_TRY(file.write(offset, Bytes(image)));
    PROJFS_TRY(file.sync());
  }
  return {};
}

Status begin_life(Segment& segment, std::uint64_t generation) {
  const SegmentHeader header{generation, random_nonce(), 0};
  PROJFS_TRY(write_header(*segment.file, header));
  segment.header = header;
  segment.end = segment.synced_end = kRecordsStart;
  segment.last_seq = 0;
  return {};
}

Status wipe(Segment& segment, std::uint64_t position) {
  const RecordImage zeros{};
  if (!segment.file->write(position, Bytes(zeros))) {
    PROJFS_TRY(segment.file->truncate(position));
    segment.truncated = true;
  }
  // The refused record may have reached the disk already; its end must as well.
  return segment.file->sync();
}

Result<Bytes> Scan::window(std::uint64_t offset, std::size_t size) {
  if (offset < buffer_offset_ || offset + size > buffer_offset_ + buffer_size_) {
    buffer_.resize(kWindow);
    PROJFS_ASSIGN(buffer_size_, file_.read(offset, MutableBytes(buffer_)));
    buffer_offset_ = offset;
  }
  const auto skip = static_cast<std::size_t>(offset - buffer_offset_);
  return Bytes(buffer_).subspan(skip, std::min(size, buffer_size_ - skip));
}

Result<bool> Scan::next() {
  const auto start = end_;
  if (start + kRecordHeaderBytes > size_) return false;
  PROJFS_ASSIGN(const Bytes image, window(start, kRecordHeaderBytes));
  const auto header = decode_record(image, nonce_);
  const bool first = position_ == 0;
  // What follows a record that was refused to its writer may carry valid checksums, but older
  // sequence numbers.
  if (!header || (header->op == kBegin) != first || header->seq <= record_.seq ||
      start + record_bytes(header->data_length) > ((size_ + 15) & ~std::uint64_t{15})) {
    return false;
  }
  if (header->data_length > 0 && verify_data_) {
    PROJFS_ASSIGN(const Bytes whole, window(start, kRecordHeaderBytes + header->data_length));
    if (whole.size() < kRecordHeaderBytes + header->data_length ||
        checksum(whole.subspan(kRecordHeaderBytes)) != header->word) {
      return false;
    }
  }
  record_ = *header;
  position_ = start;
  end_ = start + record_bytes(header->data_length);
  return true;
}

}  // namespace projfs::stage
