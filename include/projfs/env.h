// SPDX-License-Identifier: MIT
//
// The operating system's files behind one interface, so that tests can inject what disks do: fail,
// fill up, lose what was never synced, tear the last write.
//
// Thread safety: Env and File may be used from several threads; concurrent writes to overlapping
// ranges of one file are the caller's to order.
#pragma once

#include <sys/uio.h>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "projfs/bytes.h"
#include "projfs/result.h"

namespace projfs {

class File {
 public:
  virtual ~File() = default;

  // Reads up to out.size() bytes at `offset`; fewer only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t offset, MutableBytes out) = 0;
  // Writes all of the buffers, in order, at `offset`. On error any part may have been written.
  virtual Status write(std::uint64_t offset, std::span<const iovec> data) = 0;
  Status write(std::uint64_t offset, Bytes data) {
    const iovec one{const_cast<std::uint8_t*>(data.data()), data.size()};
    return write(offset, std::span<const iovec>(&one, 1));
  }
  // Makes all data written so far, and the size, survive power loss (fdatasync).
  virtual Status sync() = 0;
  virtual Status truncate(std::uint64_t size) = 0;
  // Reserves disk blocks for [0, size) and extends the file to it.
  virtual Status allocate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // to an unprivileged writer
};

class Env {
 public:
  enum class Open { kRead, kReadWrite, kCreateNew };

  virtual ~Env() = default;

  // The real file system. Never destroyed.
  static Env& posix();

  // kRead and kReadWrite: ENOENT if missing. kCreateNew: EEXIST if there.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open mode) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& dir) = 0;  // names, unsorted
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Status make_directory(const std::string& path, unsigned mode) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  // Makes creations, renames and removals in `dir` survive power loss.
  virtual Status sync_directory(const std::string& dir) = 0;
  virtual Result<DiskSpace> space(const std::string& path) = 0;
};

}  // namespace projfs
