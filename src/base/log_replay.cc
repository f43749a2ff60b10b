// SPDX-License-Identifier: MIT
#include "base/log_replay.h"

#include <rocksdb/file_system.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "projfs/bytes.h"

namespace projfs {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSSequentialFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class HeadlessLogs final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  [[nodiscard]] const char* Name() const override { return "projfs.HeadlessLogs"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<FSSequentialFile>* result,
                             IODebugContext* debug) override {
    if (path.ends_with(".log")) {
      std::unique_ptr<FSSequentialFile> peek;
      auto status = FileSystemWrapper::NewSequentialFile(path, options, &peek, debug);
      if (!status.ok()) return status;
      // The header of a record: checksum, length and type, which is never 0.
      std::array<char, 7> buffer{};
      rocksdb::Slice head;
      status = peek->Read(buffer.size(), IOOptions(), &head, buffer.data(), debug);
      if (!status.ok()) return status;
      const auto is_zero = [](char c) { return c == 0; };
      if (!head.empty() && std::all_of(head.data(), head.data() + head.size(), is_zero))
        return FileSystemWrapper::NewSequentialFile("/dev/null", options, result, debug);
    }
    return FileSystemWrapper::NewSequentialFile(path, options, result, debug);
  }
};

class HeadlessEnv final : public rocksdb::EnvWrapper {
 public:
  explicit HeadlessEnv(rocksdb::Env& base) : EnvWrapper(&base) {
    file_system_ = std::make_shared<HeadlessLogs>(base.GetFileSystem());
    system_clock_ = base.GetSystemClock();
  }
};

}  // namespace

rocksdb::WalFilter::WalProcessingOption ContiguousLogs::LogRecordFound(
    unsigned long long /*log_number*/, const std::string& /*name*/,
    const rocksdb::WriteBatch& batch, rocksdb::WriteBatch* /*new_batch*/, bool* /*changed*/) {
  // A batch begins with the sequence number of its first entry and their count.
  Reader in(batch.Data());
  const auto first = in.le64();
  const auto count = in.le32();
  if (!in.ok()) return WalProcessingOption::kCorruptedRecord;
  if (next_ != 0 && first > next_) {
    ++dropped_;
    return WalProcessingOption::kIgnoreCurrentRecord;
  }
  next_ = first + count;
  return WalProcessingOption::kContinueProcessing;
}

std::unique_ptr<rocksdb::Env> hide_headless_logs(rocksdb::Env& base) {
  return std::make_unique<HeadlessEnv>(base);
}

}  // namespace projfs
