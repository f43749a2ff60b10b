// SPDX-License-Identifier: MIT
//
// File data.
#include <unistd.h>
#include <algorithm>

#include "fuse/answer.h"
#include "fuse/operations.h"
#include "fuse/set_id.h"

namespace projfs::fuse {
namespace {

void read(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset,
          fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) -> Result<Payload> {
    const auto room = context().scratch.first(std::min(size, context().scratch.size()));
    PROJFS_ASSIGN(const std::size_t n, v.read(ino, static_cast<std::uint64_t>(offset), room));
    context().channel->traffic().bytes_read.fetch_add(n, std::memory_order_relaxed);
    return Payload{room.first(n)};
  });
}

// The payload goes to the volume straight from the buffer that the request was read to.
void write(fuse_req_t req, fuse_ino_t ino, const char* data, std::size_t size, off_t offset,
           fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) -> Result<Written> {
    const Context& inside = context();
    const auto flags = inside.request.argument<fuse_write_in>().write_flags;
    const bool drop = (flags & FUSE_WRITE_KILL_SUIDGID) && loses_set_id(v, ino);
    PROJFS_TRY(v.write(ino, static_cast<std::uint64_t>(offset),
                       {reinterpret_cast<const std::uint8_t*>(data), size},
                       (flags & FUSE_WRITE_KILL_SUIDGID) != 0));
    if (drop) inside.channel->invalidate_attributes(ino);
    inside.channel->traffic().bytes_written.fetch_add(size, std::memory_order_relaxed);
    return Written{size};
  });
}

void fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
               fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) -> Status {
    PROJFS_TRY(v.fallocate(ino, mode, static_cast<std::uint64_t>(offset),
                           static_cast<std::uint64_t>(length)));
    return drop_set_id(*context().channel, ino, fuse_req_ctx(req)->uid);
  });
}

void lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) -> Result<Position> {
    PROJFS_ASSIGN(const auto found, v.seek(ino, static_cast<std::uint64_t>(offset), whence));
    return Position{found};
  });
}

void copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                     fuse_file_info* /*from_info*/, fuse_ino_t to, off_t to_offset,
                     fuse_file_info* /*to_info*/, std::size_t length, int /*flags*/) {
  answer(req, [&](Volume& v) -> Result<Written> {
    // The reply counts with 32 bits.
    const std::size_t bounded = std::min<std::size_t>(length, 1u << 31);
    PROJFS_ASSIGN(const auto copied, v.copy_range(from, static_cast<std::uint64_t>(from_offset), to,
                                                  static_cast<std::uint64_t>(to_offset), bounded));
    PROJFS_TRY(drop_set_id(*context().channel, to, fuse_req_ctx(req)->uid));
    return Written{copied};
  });
}

void fsync(fuse_req_t req, fuse_ino_t ino, int data_only, fuse_file_info* /*info*/) {
  answer(req, [&](Volume& v) { return v.fsync(ino, data_only != 0); });
}

// ENOSYS turns open and opendir off for good, and release with them; the kernel then keeps pages
// and cached listings from one open to the next. Without an operation libfuse 3.14 would answer
// success.
void no_open(fuse_req_t req, fuse_ino_t /*ino*/, fuse_file_info* /*info*/) {
  fuse_reply_err(req, ENOSYS);
}

void ioctl(fuse_req_t req, fuse_ino_t /*ino*/, unsigned /*command*/, void* /*argument*/,
           fuse_file_info* /*info*/, unsigned /*flags*/, const void* /*in*/,
           std::size_t /*in_size*/, std::size_t /*out_size*/) {
  fuse_reply_err(req, ENOTTY);
}

}  // namespace

void add_data_operations(fuse_lowlevel_ops& table) {
  table.open = no_open;
  table.opendir = no_open;
  table.flush = no_open;
  table.read = read;
  table.write = write;
  table.fallocate = fallocate;
  table.lseek = lseek;
  table.copy_file_range = copy_file_range;
  table.fsync = fsync;
  table.ioctl = ioctl;
}

}  // namespace projfs::fuse
