// SPDX-License-Identifier: MIT
#include "operation.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "random.h"

namespace projfs::model {
namespace {

constexpr const char* kNames[] = {
    "create",      "mkdir",     "mknod",   "symlink",   "link",      "unlink",       "rmdir",
    "rename",      "open",      "tmpfile", "link-slot", "close",     "write",        "append",
    "truncate",    "fallocate", "copy",    "seek",      "map-write", "direct-write", "setxattr",
    "removexattr", "chmod",     "chown",   "utimens",   "fsync",     "list"};

std::string printable(const std::string& s) {
  std::string out;
  for (const char c : s) {
    if (c > ' ' && c < 127) {
      out += c;
    } else {
      char hex[5];
      ::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
      out += hex;
    }
  }
  return out.size() > 60 ? out.substr(0, 60) + "..." : out;
}

Outcome outcome(std::int64_t result) {
  Outcome out;
  if (result < 0) {
    out.error = errno;
  } else {
    out.result = result;
  }
  return out;
}

// Devices, fifos and sockets are made, never used: what they do is not the file system's affair.
// Fifos, sockets and devices are not opened: ENXIO. 0: it can be. When the daemon behind a mount
// was killed, its own errno: opening might say something else then, from what the kernel still
// knows.
int not_opened(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) < 0)
    return errno == ENOTCONN || errno == ECONNABORTED || errno == EIO ? errno : 0;
  return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? 0 : ENXIO;
}

// File system access as another user, for this thread.
class Identity {
 public:
  explicit Identity(uid_t uid) : changed_(uid != 0) {
    if (!changed_) return;
    ::setfsgid(uid);
    ::setfsuid(uid);
  }
  ~Identity() {
    if (!changed_) return;
    ::setfsuid(0);
    ::setfsgid(0);
  }
  Identity(const Identity&) = delete;

 private:
  bool changed_;
};

}  // namespace

std::string Operation::describe() const {
  std::string out = kNames[static_cast<int>(what)];
  const auto add = [&](const char* key, const std::string& v) {
    out += std::string(" ") + key + "=" + v;
  };
  if (!path.empty()) add("path", printable(path));
  if (!other.empty()) add("other", printable(other));
  if (slot >= 0) add("slot", std::to_string(slot));
  if (other_slot >= 0) add("other_slot", std::to_string(other_slot));
  if (offset) add("offset", std::to_string(offset));
  if (other_offset) add("other_offset", std::to_string(other_offset));
  if (length) add("length", std::to_string(length));
  if (flags) add("flags", std::to_string(flags));
  if (mode) {
    char octal[16];
    ::snprintf(octal, sizeof octal, "%o", mode);
    add("mode", octal);
  }
  if (what == Do::kChown) add("owner", std::to_string(uid) + ":" + std::to_string(gid));
  if (!name.empty()) add("name", name);
  if (!value.empty()) add("value", std::to_string(value.size()) + " bytes " + printable(value));
  if (what == Do::kUtimens)
    add("time", std::to_string(seconds) + "." + std::to_string(nanoseconds));
  if (seed) add("seed", std::to_string(seed));
  if (as) add("as", std::to_string(as));
  return out;
}

Operation answered(Operation op, const Outcome& outcome) {
  if (op.what == Do::kCopyRange && outcome.result > 0) op.length = outcome.result;
  return op;
}

class World::Target {
 public:
  Target(const World& world, const std::string& path, int slot, int flags) : own_(slot < 0) {
    if (own_) error_ = not_opened(world.at(path));
    if (error_ != 0) return;
    fd_ = own_ ? ::open(world.at(path).c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
               : world.slots_[slot];
    if (fd_ < 0) error_ = own_ ? errno : EBADF;
  }
  ~Target() {
    if (own_ && fd_ >= 0) ::close(fd_);
  }
  Target(const Target&) = delete;
  [[nodiscard]] int error() const { return error_; }
  operator int() const { return fd_; }  // NOLINT: stands for the descriptor everywhere

 private:
  bool own_;
  int fd_ = -1;
  int error_ = 0;
};

void World::close_all() {
  for (int& fd : slots_) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
}

Outcome World::apply(const Operation& op) {
  const Identity identity(op.as);
  if (op.what <= Do::kClose || op.what == Do::kList) return do_names(op);
  if (op.what <= Do::kDirectWrite || op.what == Do::kFsync) return do_data(op);
  return do_attributes(op);
}

Outcome World::do_names(const Operation& op) {
  const std::string path = at(op.path), other = at(op.other);
  const auto into_slot = [&](int fd) {
    Outcome out = outcome(fd);
    out.result = 0;
    if (fd >= 0) {
      if (slots_[op.slot] >= 0) ::close(slots_[op.slot]);
      slots_[op.slot] = fd;
    }
    return out;
  };
  switch (op.what) {
    case Do::kCreate: {
      if (const int error = not_opened(path)) return {error, 0, {}};
      const int fd =
          ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_NONBLOCK | op.flags, op.mode);
      Outcome out = outcome(fd);
      out.result = 0;
      if (fd >= 0) ::close(fd);
      return out;
    }
    case Do::kMkdir:
      return outcome(::mkdir(path.c_str(), op.mode));
    case Do::kMknod:
      return outcome(::mknod(path.c_str(), op.mode, op.device));
    case Do::kSymlink:
      return outcome(::symlink(op.value.c_str(), path.c_str()));
    case Do::kLink:
      return outcome(::link(path.c_str(), other.c_str()));
    case Do::kUnlink:
      return outcome(::unlink(path.c_str()));
    case Do::kRmdir:
      return outcome(::rmdir(path.c_str()));
    case Do::kRename:
      return outcome(::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), op.flags));
    case Do::kOpen:
      if (const int error = not_opened(path)) return {error, 0, {}};
      return into_slot(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    case Do::kTmpfile:
      return into_slot(::open(path.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, op.mode));
    case Do::kLinkSlot: {
      if (slots_[op.slot] < 0) return {EBADF, 0, {}};
      const std::string from = "/proc/self/fd/" + std::to_string(slots_[op.slot]);
      return outcome(::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW));
    }
    case Do::kClose:
      if (slots_[op.slot] >= 0) ::close(slots_[op.slot]);
      slots_[op.slot] = -1;
      return {};
    case Do::kList: {
      DIR* dir = ::opendir(path.c_str());
      if (!dir) return {errno, 0, {}};
      std::vector<std::string> names;
      errno = 0;
      while (const dirent* e = ::readdir(dir)) names.emplace_back(e->d_name);
      Outcome out;
      out.error = errno;
      ::closedir(dir);
      std::sort(names.begin(), names.end());
      for (const auto& n : names) out.text += n + '\0';
      return out;
    }
    default:
      std::abort();
  }
}

Outcome World::do_data(const Operation& op) {
  // FUSE does not say which of truncate(2) and ftruncate(2) it was; only with another size do both
  // have to move the times.
  struct stat old {};
  const bool same_size = op.what == Do::kTruncate && op.slot < 0 &&
                         ::lstat(at(op.path).c_str(), &old) == 0 && S_ISREG(old.st_mode) &&
                         static_cast<std::uint64_t>(old.st_size) == op.length;
  if (op.what == Do::kTruncate && op.slot < 0 && !same_size)
    return outcome(::truncate(at(op.path).c_str(), op.length));
  int flags = op.what == Do::kSeek || op.what == Do::kFsync || op.what == Do::kCopyRange ? O_RDONLY
                                                                                         : O_RDWR;
  if (op.what == Do::kAppend) flags |= O_APPEND;
  if (op.what == Do::kDirectWrite) flags |= O_DIRECT;
  const Target fd(*this, op.path, op.slot, flags);
  if (fd.error()) return {fd.error(), 0, {}};
  switch (op.what) {
    case Do::kWrite: {
      const std::string data = content(op.seed, op.skip + op.length).substr(op.skip);
      return outcome(::pwrite(fd, data.data(), data.size(), op.offset));
    }
    case Do::kAppend: {
      // A slot's position is wherever looking for holes left it.
      if (op.slot >= 0 && ::lseek(fd, 0, SEEK_END) < 0) return outcome(-1);
      const std::string data = content(op.seed, op.length);
      return outcome(::write(fd, data.data(), data.size()));
    }
    case Do::kDirectWrite: {
      void* raw = nullptr;
      if (::posix_memalign(&raw, 4096, op.length) != 0) std::abort();
      const std::unique_ptr<void, decltype(&std::free)> buffer(raw, &std::free);
      std::memcpy(raw, content(op.seed, op.length).data(), op.length);
      return outcome(::pwrite(fd, raw, op.length, op.offset));
    }
    case Do::kTruncate:
      return outcome(::ftruncate(fd, op.length));
    case Do::kFallocate:
      return outcome(::fallocate(fd, op.flags, op.offset, op.length));
    case Do::kCopyRange: {
      const Target to(*this, op.other, op.other_slot, O_WRONLY);
      if (to.error()) return {to.error(), 0, {}};
      off64_t in = op.offset, out = op.other_offset;
      return outcome(::copy_file_range(fd, &in, to, &out, op.length, 0));
    }
    case Do::kSeek: {
      // Where holes begin is a file system's own affair; that nothing but zeros hides in one, and
      // what happens at the end, is not.
      struct stat st {};
      if (::fstat(fd, &st) < 0) return outcome(-1);
      if (!S_ISREG(st.st_mode)) return {};
      Outcome out = outcome(::lseek(fd, op.offset, SEEK_HOLE));
      const off_t data = ::lseek(fd, op.offset, SEEK_DATA);
      if (data < 0 && errno != ENXIO) return outcome(-1);
      if (out.error == 0 && (out.result < static_cast<off_t>(op.offset) || out.result > st.st_size))
        out.text = "SEEK_HOLE out of range";
      if (data >= 0 && (data < static_cast<off_t>(op.offset) || data >= st.st_size))
        out.text = "SEEK_DATA out of range";
      if (out.error == 0 && data >= 0 && data == out.result) out.text = "both data and hole";
      out.result = 0;
      return out;
    }
    case Do::kMapWrite: {
      struct stat st {};
      if (::fstat(fd, &st) < 0) return outcome(-1);
      if (!S_ISREG(st.st_mode) || op.offset >= static_cast<std::uint64_t>(st.st_size)) return {};
      const std::size_t length = std::min<std::uint64_t>(op.length, st.st_size - op.offset);
      const std::uint64_t start = op.offset & ~4095ULL;
      const std::size_t span = op.offset - start + length;
      void* map = ::mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
      if (map == MAP_FAILED) return outcome(-1);
      std::memcpy(static_cast<char*>(map) + (op.offset - start), content(op.seed, length).data(),
                  length);
      const Outcome out = outcome(::msync(map, span, MS_SYNC));
      ::munmap(map, span);
      return out;
    }
    case Do::kFsync:
      return outcome(op.flags ? ::fdatasync(fd) : ::fsync(fd));
    default:
      std::abort();
  }
}

Outcome World::do_attributes(const Operation& op) {
  const std::string path = at(op.path);
  const int fd = op.slot >= 0 ? slots_[op.slot] : -1;
  if (op.slot >= 0 && fd < 0) return {EBADF, 0, {}};
  const timespec times[2] = {{op.seconds, op.nanoseconds}, {op.seconds, op.nanoseconds}};
  switch (op.what) {
    case Do::kSetXattr:
      if (fd >= 0)
        return outcome(
            ::fsetxattr(fd, op.name.c_str(), op.value.data(), op.value.size(), op.flags));
      return outcome(
          ::lsetxattr(path.c_str(), op.name.c_str(), op.value.data(), op.value.size(), op.flags));
    case Do::kRemoveXattr:
      return outcome(fd >= 0 ? ::fremovexattr(fd, op.name.c_str())
                             : ::lremovexattr(path.c_str(), op.name.c_str()));
    case Do::kChmod:
      return outcome(fd >= 0 ? ::fchmod(fd, op.mode) : ::chmod(path.c_str(), op.mode));
    case Do::kChown:
      return outcome(fd >= 0 ? ::fchown(fd, op.uid, op.gid)
                             : ::lchown(path.c_str(), op.uid, op.gid));
    case Do::kUtimens:
      return outcome(fd >= 0 ? ::futimens(fd, times)
                             : ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW));
    default:
      std::abort();
  }
}

}  // namespace projfs::model
