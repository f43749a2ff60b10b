// SPDX-License-Identifier: MIT
#include "base/log_gate.h"

#include <rocksdb/file_system.h>

namespace projfs {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class GatedLog final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  GatedLog(std::unique_ptr<FSWritableFile> file, std::shared_ptr<LogGate> gate)
      : FSWritableFileOwnerWrapper(std::move(file)), gate_(std::move(gate)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return checked(FSWritableFileOwnerWrapper::Append(data, options, debug));
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    return checked(FSWritableFileOwnerWrapper::Append(data, options, info, debug));
  }

 private:
  IOStatus checked(IOStatus status) {
    if (!status.ok()) gate_->close();
    return status;
  }
  const std::shared_ptr<LogGate> gate_;
};

class GatedLogs final : public rocksdb::FileSystemWrapper {
 public:
  GatedLogs(const std::shared_ptr<rocksdb::FileSystem>& base, std::shared_ptr<LogGate> gate)
      : FileSystemWrapper(base), gate_(std::move(gate)) {}
  [[nodiscard]] const char* Name() const override { return "projfs.GatedLogs"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* debug) override {
    auto status = FileSystemWrapper::NewWritableFile(path, options, result, debug);
    if (status.ok() && path.ends_with(".log"))
      *result = std::make_unique<GatedLog>(std::move(*result), gate_);
    return status;
  }

 private:
  const std::shared_ptr<LogGate> gate_;
};

}  // namespace

LogGateEnv::LogGateEnv(std::unique_ptr<rocksdb::Env> base)
    : EnvWrapper(base.get()), base_(std::move(base)), gate_(std::make_shared<LogGate>()) {
  file_system_ = std::make_shared<GatedLogs>(base_->GetFileSystem(), gate_);
  system_clock_ = base_->GetSystemClock();
}

}  // namespace projfs
