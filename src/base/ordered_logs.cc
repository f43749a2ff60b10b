// SPDX-License-Identifier: MIT
#include "base/ordered_logs.h"

#include <rocksdb/file_system.h>

#include <mutex>
#include <string_view>

namespace projfs {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// The log being written, as long as it is open.
struct Current {
  std::mutex mutex;
  FSWritableFile* log = nullptr;
};

class LogFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LogFile(std::unique_ptr<FSWritableFile> file, std::shared_ptr<Current> current)
      : FSWritableFileOwnerWrapper(std::move(file)), current_(std::move(current)) {
    const std::lock_guard lock(current_->mutex);
    current_->log = this;
  }
  ~LogFile() override { leave(); }

  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    leave();
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }

 private:
  void leave() {
    const std::lock_guard lock(current_->mutex);
    if (current_->log == this) current_->log = nullptr;
  }
  const std::shared_ptr<Current> current_;
};

class OrderedLogs final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  [[nodiscard]] const char* Name() const override { return "projfs.OrderedLogs"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* debug) override {
    return make(path, result,
                [&] { return FileSystemWrapper::NewWritableFile(path, options, result, debug); });
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                             IODebugContext* debug) override {
    return make(path, result, [&] {
      return FileSystemWrapper::ReuseWritableFile(path, old_path, options, result, debug);
    });
  }

 private:
  template <class Make>
  IOStatus make(std::string_view path, std::unique_ptr<FSWritableFile>* result, Make make_file) {
    const bool is_log = path.ends_with(".log");
    if (is_log) {
      const std::lock_guard lock(current_->mutex);
      if (current_->log != nullptr) {
        if (auto synced = current_->log->Sync(IOOptions(), nullptr); !synced.ok()) return synced;
      }
    }
    auto made = make_file();
    if (made.ok() && is_log) *result = std::make_unique<LogFile>(std::move(*result), current_);
    return made;
  }

  const std::shared_ptr<Current> current_ = std::make_shared<Current>();
};

class OrderedEnv final : public rocksdb::EnvWrapper {
 public:
  explicit OrderedEnv(rocksdb::Env& base) : EnvWrapper(&base) {
    file_system_ = std::make_shared<OrderedLogs>(base.GetFileSystem());
    system_clock_ = base.GetSystemClock();
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> order_logs(rocksdb::Env& base) {
  return std::make_unique<OrderedEnv>(base);
}

}  // namespace projfs
