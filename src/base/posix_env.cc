// SPDX-License-Identifier: MIT
//
// Env over the system calls. Every descriptor is close-on-exec: programs that the daemon starts
// must not keep segments and packs open.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <utility>

#include "projfs/env.h"

namespace projfs {
namespace {

// Repeats a system call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read(std::uint64_t offset, MutableBytes out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const auto n = retry([&] {
        return ::pread(fd_.get(), out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (n < 0) return fail_errno("reading " + path_);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  using File::write;
  Status write(std::uint64_t offset, std::span<const iovec> data) override {
    while (!data.empty()) {
      const auto batch = data.first(std::min<std::size_t>(data.size(), IOV_MAX));
      const auto n = retry([&] {
        return ::pwritev(fd_.get(), batch.data(), static_cast<int>(batch.size()),
                         static_cast<off_t>(offset));
      });
      if (n < 0) return fail_errno("writing " + path_);
      auto written = static_cast<std::size_t>(n);
      offset += written;
      while (!data.empty() && written >= data.front().iov_len) {
        written -= data.front().iov_len;
        data = data.subspan(1);
      }
      if (data.empty()) break;
      // The call ended inside a buffer, or before the next one: finish that buffer by itself, so
      // that the caller's array stays as it is.
      const auto& partial = data.front();
      PROJFS_TRY(write_rest(offset, static_cast<const std::uint8_t*>(partial.iov_base) + written,
                            partial.iov_len - written));
      offset += partial.iov_len - written;
      data = data.subspan(1);
    }
    return {};
  }

  Status sync() override {
    if (retry([&] { return ::fdatasync(fd_.get()); }) < 0) return fail_errno("syncing " + path_);
    return {};
  }

  Status truncate(std::uint64_t size) override {
    if (retry([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) < 0)
      return fail_errno("resizing " + path_);
    return {};
  }

  Status allocate(std::uint64_t size) override {
    if (size == 0) return {};
    // glibc falls back to writing one byte a block where the file system has no fallocate.
    int code = 0;
    do {
      code = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size));
    } while (code == EINTR);
    if (code != 0) return fail_errno("reserving space for " + path_, code);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat st {};
    if (::fstat(fd_.get(), &st) < 0) return fail_errno("looking at " + path_);
    return static_cast<std::uint64_t>(st.st_size);
  }

 private:
  Status write_rest(std::uint64_t offset, const std::uint8_t* data, std::size_t size) {
    while (size > 0) {
      const auto n =
          retry([&] { return ::pwrite(fd_.get(), data, size, static_cast<off_t>(offset)); });
      if (n < 0) return fail_errno("writing " + path_);
      // A regular file never takes nothing of a non-empty write; looping on it would hang.
      if (n == 0) return fail(EIO, "writing " + path_ + ": nothing was written");
      data += n;
      offset += static_cast<std::uint64_t>(n);
      size -= static_cast<std::size_t>(n);
    }
    return {};
  }

  Descriptor fd_;
  const std::string path_;
};

class PosixEnv final : public Env {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case Open::kRead:
        flags |= O_RDONLY;
        break;
      case Open::kReadWrite:
        flags |= O_RDWR;
        break;
      case Open::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    // What a store holds is its owner's alone.
    Descriptor fd(retry([&] { return ::open(path.c_str(), flags, 0600); }));
    if (fd.get() < 0) {
      return fail_errno((mode == Open::kCreateNew ? "creating " : "opening ") + path);
    }
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  Result<std::vector<std::string>> list(const std::string& dir) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(dir.c_str()), ::closedir);
    if (!handle) return fail_errno("listing " + dir);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const auto* entry = ::readdir(handle.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    if (errno != 0) return fail_errno("listing " + dir);
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    struct stat st {};
    if (::lstat(path.c_str(), &st) == 0) return true;
    if (errno == ENOENT) return false;
    return fail_errno("looking for " + path);
  }

  Status make_directory(const std::string& path, unsigned mode) override {
    if (::mkdir(path.c_str(), mode) < 0) return fail_errno("making the directory " + path);
    return {};
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) < 0) return fail_errno("renaming " + from + " to " + to);
    return {};
  }

  Status remove(const std::string& path) override {
    // remove(3): a file or an empty directory.
    if (::remove(path.c_str()) < 0) return fail_errno("removing " + path);
    return {};
  }

  Status sync_directory(const std::string& dir) override {
    const Descriptor fd(
        retry([&] { return ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) return fail_errno("opening " + dir);
    if (retry([&] { return ::fsync(fd.get()); }) < 0) return fail_errno("syncing " + dir);
    return {};
  }

  Result<DiskSpace> space(const std::string& path) override {
    struct statvfs st {};
    if (retry([&] { return ::statvfs(path.c_str(), &st); }) < 0)
      return fail_errno("looking at the file system of " + path);
    return DiskSpace{.total_bytes = std::uint64_t{st.f_blocks} * st.f_frsize,
                     .available_bytes = std::uint64_t{st.f_bavail} * st.f_frsize};
  }
};

}  // namespace

Env& Env::posix() {
  static auto* env = new PosixEnv();
  return *env;
}

}  // namespace projfs
