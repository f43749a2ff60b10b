// SPDX-License-Identifier: MIT
#include "support/fault_rocks_env.h"

#include <rocksdb/file_system.h>
#include <rocksdb/system_clock.h>

#include <algorithm>

namespace projfs::testing {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus from(const Status& status) {
  if (status) return IOStatus::OK();
  const auto& message = status.error().message;
  switch (status.error().code) {
    case ENOENT:
      return IOStatus::PathNotFound(message);
    case ENOSPC:
      return IOStatus::NoSpace(message);
    default:
      return IOStatus::IOError(message);
  }
}

class WritableFile final : public rocksdb::FSWritableFile {
 public:
  WritableFile(std::unique_ptr<File> file, std::uint64_t size)
      : file_(std::move(file)), size_(size) {}

  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions& /*o*/, IODebugContext* /*d*/) override {
    if (auto written = file_->write(size_, as_bytes({data.data(), data.size()})); !written)
      return from(written);
    size_ += data.size();
    return IOStatus::OK();
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& /*o*/, IODebugContext* /*d*/) override {
    auto status = file_->truncate(size);
    if (status) size_ = size;
    return from(status);
  }
  IOStatus Close(const IOOptions& /*o*/, IODebugContext* /*d*/) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions& /*o*/, IODebugContext* /*d*/) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions& /*o*/, IODebugContext* /*d*/) override {
    return from(file_->sync());
  }
  [[nodiscard]] bool IsSyncThreadSafe() const override { return true; }
  std::uint64_t GetFileSize(const IOOptions& /*o*/, IODebugContext* /*d*/) override {
    return size_;
  }
  // Preallocation and early write-back promise nothing, so they are left out.
  void PrepareWrite(std::size_t /*offset*/, std::size_t /*size*/, const IOOptions& /*o*/,
                    IODebugContext* /*d*/) override {}
  IOStatus RangeSync(std::uint64_t /*offset*/, std::uint64_t /*size*/, const IOOptions& /*o*/,
                     IODebugContext* /*d*/) override {
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<File> file_;
  std::uint64_t size_;  // of what was appended
};

class Directory final : public rocksdb::FSDirectory {
 public:
  Directory(FaultEnv& env, std::string path) : env_(env), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions& /*o*/, IODebugContext* /*d*/) override {
    return from(env_.sync_directory(path_));
  }
  IOStatus Close(const IOOptions& /*o*/, IODebugContext* /*d*/) override { return IOStatus::OK(); }

 private:
  FaultEnv& env_;
  const std::string path_;
};

class FaultFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultFileSystem(FaultEnv& env)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), env_(env) {}

  [[nodiscard]] const char* Name() const override { return "projfs.FaultFileSystem"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext* debug) override {
    if (!env_.powered()) return dead();
    return FileSystemWrapper::NewSequentialFile(path, options, result, debug);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext* debug) override {
    if (!env_.powered()) return dead();
    return FileSystemWrapper::NewRandomAccessFile(path, options, result, debug);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& /*options*/,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* /*debug*/) override {
    auto file = env_.open(path, Env::Open::kCreateNew);
    if (!file && file.error().code == EEXIST) {
      file = env_.open(path, Env::Open::kReadWrite);
      if (file) {
        if (auto emptied = (*file)->truncate(0); !emptied) return from(emptied);
      }
    }
    if (!file) return from(tl::unexpected<Error>(file.error()));
    *result = std::make_unique<WritableFile>(std::move(*file), 0);
    return IOStatus::OK();
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext* debug) override {
    auto file = env_.open(path, Env::Open::kReadWrite);
    if (!file) return NewWritableFile(path, options, result, debug);
    auto size = (*file)->size();
    if (!size) return from(tl::unexpected<Error>(size.error()));
    *result = std::make_unique<WritableFile>(std::move(*file), *size);
    return IOStatus::OK();
  }
  // The content of the old file stays, to be overwritten.
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& /*options*/,
                             std::unique_ptr<rocksdb::FSWritableFile>* result,
                             IODebugContext* /*debug*/) override {
    if (auto renamed = env_.rename(old_path, path); !renamed) return from(renamed);
    auto file = env_.open(path, Env::Open::kReadWrite);
    if (!file) return from(tl::unexpected<Error>(file.error()));
    *result = std::make_unique<WritableFile>(std::move(*file), 0);
    return IOStatus::OK();
  }
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& /*options*/,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* /*result*/,
                           IODebugContext* /*debug*/) override {
    return IOStatus::NotSupported(path);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& /*options*/,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext* /*debug*/) override {
    *result = std::make_unique<Directory>(env_, path);
    return IOStatus::OK();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& /*options*/,
                      IODebugContext* /*debug*/) override {
    return from(env_.remove(path));
  }
  IOStatus RenameFile(const std::string& old_path, const std::string& path,
                      const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return from(env_.rename(old_path, path));
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& /*options*/,
                     IODebugContext* /*debug*/) override {
    return from(env_.make_directory(path, 0700));
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options,
                              IODebugContext* debug) override {
    const auto there = env_.exists(path);
    if (there && *there) return IOStatus::OK();
    return CreateDir(path, options, debug);
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions& /*options*/,
                     IODebugContext* /*debug*/) override {
    return from(env_.remove(path));
  }
  IOStatus Truncate(const std::string& path, std::size_t size, const IOOptions& /*options*/,
                    IODebugContext* /*debug*/) override {
    auto file = env_.open(path, Env::Open::kReadWrite);
    if (!file) return from(tl::unexpected<Error>(file.error()));
    return from((*file)->truncate(size));
  }
  IOStatus LinkFile(const std::string& path, const std::string& /*target*/,
                    const IOOptions& /*options*/, IODebugContext* /*debug*/) override {
    return IOStatus::NotSupported(path);
  }

 private:
  static IOStatus dead() { return IOStatus::IOError("the power is off"); }

  FaultEnv& env_;
};

// A background job that failed sleeps for a second before it looks again; after a power cut every
// one of them fails.
class ShortSleeps final : public rocksdb::SystemClockWrapper {
 public:
  ShortSleeps() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  [[nodiscard]] const char* Name() const override { return "projfs.ShortSleeps"; }
  void SleepForMicroseconds(int micros) override {
    SystemClockWrapper::SleepForMicroseconds(std::min(micros, 1000));
  }
};

class RocksEnv final : public rocksdb::EnvWrapper {
 public:
  explicit RocksEnv(const std::shared_ptr<rocksdb::FileSystem>& files)
      : EnvWrapper(rocksdb::NewCompositeEnv(files)) {
    file_system_ = files;
    system_clock_ = std::make_shared<ShortSleeps>();
  }
};

}  // namespace

FaultRocksEnv::FaultRocksEnv(FaultEnv& env)
    : env_(std::make_unique<RocksEnv>(std::make_shared<FaultFileSystem>(env))) {}

}  // namespace projfs::testing
