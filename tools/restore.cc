// SPDX-License-Identifier: MIT
#include "restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <climits>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "host/descriptor.h"

namespace projfs {
namespace {

// The kernel takes no more at a time, and between two calls we can stop.
constexpr std::size_t kCopyAtOnce = 1ull << 30;

struct Named {
  int dir;  // an open directory
  std::string name;
  // For the calls that have no *at form.
  [[nodiscard]] std::string path() const {
    return "/proc/self/fd/" + std::to_string(dir) + "/" + name;
  }
};

class Restore {
 public:
  explicit Restore(const RestoreOptions& options) : options_(options) {}

  Status entry(const Named& from, const Named& to) {
    if (options_.stop && options_.stop()) return fail(ECANCELED, "interrupted");
    struct stat info {};
    if (::fstatat(from.dir, from.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(shown(from));
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      if (const auto first = links_.find(info.st_ino); first != links_.end()) {
        if (::linkat(AT_FDCWD, first->second.c_str(), to.dir, to.name.c_str(), 0) == 0) return {};
      }
    }
    if (S_ISDIR(info.st_mode)) return directory(from, to, info);
    if (S_ISREG(info.st_mode)) {
      PROJFS_TRY(file(from, to, info));
    } else {
      PROJFS_TRY(special(from, to, info));
      ++outcome.others;
    }
    if (info.st_nlink > 1) remember_link(to, info.st_ino);
    return {};
  }

  RestoreOutcome outcome;

 private:
  static std::string shown(const Named& at) {
    std::error_code error;
    const auto dir =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(at.dir), error);
    return error ? at.name : (dir / at.name).string();
  }

  void remember_link(const Named& at, ino_t inode) { links_.emplace(inode, shown(at)); }

  Status directory(const Named& from, const Named& to, const struct stat& info) {
    const Descriptor source(
        ::openat(from.dir, from.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return fail_errno(shown(from));
    if (::mkdirat(to.dir, to.name.c_str(), 0700) != 0) return fail_errno(shown(to));
    const Descriptor target(
        ::openat(to.dir, to.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!target) return fail_errno(shown(to));
    ++outcome.directories;

    const Descriptor listed(::openat(source.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::fdopendir(::dup(listed.get())), ::closedir);
    if (!listed || !open) return fail_errno(shown(from));
    errno = 0;
    while (const dirent* found = ::readdir(open.get())) {
      const std::string name = found->d_name;
      if (name != "." && name != "..")
        PROJFS_TRY(entry({source.get(), name}, {target.get(), name}));
      errno = 0;
    }
    if (errno != 0) return fail_errno(shown(from));
    return dress(from, to, info);
  }

  Status file(const Named& from, const Named& to, const struct stat& info) {
    const Descriptor source(
        ::openat(from.dir, from.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return fail_errno(shown(from));
    const Descriptor target(::openat(to.dir, to.name.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target) return fail_errno(shown(to));
    PROJFS_TRY(content(source.get(), target.get(), info, from, to));
    ++outcome.files;
    outcome.bytes += static_cast<std::uint64_t>(info.st_size);
    if (options_.progress) options_.progress(outcome.files, outcome.bytes);
    return dress(from, to, info);
  }

  Status content(int source, int target, const struct stat& info, const Named& from,
                 const Named& to) {
    // Not every file system keeps holes in what it copies; looking for them costs only where some
    // are.
    const bool sparse = info.st_blocks < info.st_size / 512;
    off_t done = 0;
    while (done < info.st_size) {
      if (options_.stop && options_.stop()) return fail(ECANCELED, "interrupted");
      off_t end = info.st_size;
      if (sparse) {
        done = ::lseek(source, done, SEEK_DATA);
        if (done < 0 && errno == ENXIO) break;
        end = ::lseek(source, done, SEEK_HOLE);
        if (done < 0 || end < 0) return fail_errno(shown(from));
      }
      off_t read_at = done, write_at = done;
      const auto n = ::copy_file_range(source, &read_at, target, &write_at,
                                       std::min<std::size_t>(end - done, kCopyAtOnce), 0);
      if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
        return bytes(source, target, done, info.st_size, from, to);
      if (n < 0) return fail_errno(shown(to));
      if (n == 0) return fail(EIO, shown(from) + ": it is shorter than it says");
      done += n;
    }
    if (sparse && ::ftruncate(target, info.st_size) != 0) return fail_errno(shown(to));
    return {};
  }

  // Between file systems: the bytes of what is no hole.
  Status bytes(int source, int target, off_t at, off_t size, const Named& from, const Named& to) {
    std::vector<char> buffer(1 << 20);
    while (at < size) {
      if (options_.stop && options_.stop()) return fail(ECANCELED, "interrupted");
      const off_t data = ::lseek(source, at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data > at) at = data;
      const auto n = ::pread(source, buffer.data(), buffer.size(), at);
      if (n < 0) return fail_errno(shown(from));
      if (n == 0) break;
      for (ssize_t written = 0; written < n;) {
        const auto m = ::pwrite(target, buffer.data() + written,
                                static_cast<std::size_t>(n - written), at + written);
        if (m < 0) return fail_errno(shown(to));
        written += m;
      }
      at += n;
    }
    if (::ftruncate(target, size) != 0) return fail_errno(shown(to));
    return {};
  }

  Status special(const Named& from, const Named& to, const struct stat& info) {
    if (S_ISLNK(info.st_mode)) {
      std::array<char, PATH_MAX> target{};
      const auto n = ::readlinkat(from.dir, from.name.c_str(), target.data(), target.size() - 1);
      if (n < 0) return fail_errno(shown(from));
      if (::symlinkat(target.data(), to.dir, to.name.c_str()) != 0) return fail_errno(shown(to));
    } else if (::mknodat(to.dir, to.name.c_str(), info.st_mode, info.st_rdev) != 0) {
      return fail_errno(shown(to));
    }
    return dress(from, to, info);
  }

  // Owner, attributes, mode and times, in this order: a change of owner takes set-id bits and
  // capabilities away, and everything moves the times.
  Status dress(const Named& from, const Named& to, const struct stat& info) {
    bool kept = true;
    mode_t mode = info.st_mode & 07777;
    struct stat made {};
    if (::fstatat(to.dir, to.name.c_str(), &made, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(shown(to));
    if ((made.st_uid != info.st_uid || made.st_gid != info.st_gid) &&
        ::fchownat(to.dir, to.name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      kept = false;
      // Somebody else's program must not become set-id to the caller.
      if (made.st_uid != info.st_uid) mode &= ~mode_t{S_ISUID};
      if (::fchownat(to.dir, to.name.c_str(), static_cast<uid_t>(-1), info.st_gid,
                     AT_SYMLINK_NOFOLLOW) != 0 &&
          made.st_gid != info.st_gid)
        mode &= ~mode_t{S_ISGID};
    }
    if (!attributes(from, to)) kept = false;
    if (!S_ISLNK(info.st_mode) && ::fchmodat(to.dir, to.name.c_str(), mode, 0) != 0) kept = false;
    const std::array<timespec, 2> times = {info.st_atim, info.st_mtim};
    if (::utimensat(to.dir, to.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) kept = false;
    if (!kept) ++outcome.not_kept;
    return {};
  }

  static bool attributes(const Named& from, const Named& to) {
    std::string names(XATTR_LIST_MAX, '\0'), value(XATTR_SIZE_MAX, '\0');
    const auto listed = ::llistxattr(from.path().c_str(), names.data(), names.size());
    if (listed < 0) return errno == EOPNOTSUPP;
    bool all = true;
    for (std::size_t at = 0; at < static_cast<std::size_t>(listed);) {
      const std::string name = names.c_str() + at;
      at += name.size() + 1;
      const auto n = ::lgetxattr(from.path().c_str(), name.c_str(), value.data(), value.size());
      if (n < 0 || ::lsetxattr(to.path().c_str(), name.c_str(), value.data(),
                               static_cast<std::size_t>(n), 0) != 0)
        all = false;
    }
    return all;
  }

  const RestoreOptions& options_;
  std::map<ino_t, std::string> links_;  // where an inode with several names was made first
};

// Everything below the name, and it; what cannot be removed stays.
void remove_all(const Named& at) {
  std::error_code ignored;
  std::filesystem::remove_all(at.path(), ignored);
}

}  // namespace

Result<RestoreOutcome> restore(const std::string& from, const std::string& to,
                               const RestoreOptions& options) {
  const auto parent = std::filesystem::path(to).parent_path();
  const std::string name = std::filesystem::path(to).filename().string();
  const Descriptor dir(
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return fail_errno(parent.string());
  if (name.empty() || name == "." || name == "..")
    return fail(EINVAL, to + " must end in the name of what is to be made");

  const std::string source_name = std::filesystem::path(from).filename().string();
  const Descriptor above(::open(std::filesystem::path(from).parent_path().c_str(),
                                O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat source {};
  struct stat target {};
  if (!above || ::fstatat(above.get(), source_name.c_str(), &source, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno(from);
  const bool there = ::fstatat(dir.get(), name.c_str(), &target, AT_SYMLINK_NOFOLLOW) == 0;
  if (there && S_ISDIR(target.st_mode) != S_ISDIR(source.st_mode) && !options.replace) {
    return fail(S_ISDIR(target.st_mode) ? EISDIR : ENOTDIR,
                to + (S_ISDIR(target.st_mode) ? " is a directory now" : " is no directory now") +
                    "; give another place with --to, or --replace to replace it as a whole");
  }
  if (there && S_ISDIR(target.st_mode) && !options.replace) {
    return fail(EEXIST, to + " is there; give another place with --to, or --replace to replace it "
                             "as a whole");
  }

  // As long as a name may be, and nobody else's.
  const Named beside{dir.get(),
                     "." + name.substr(0, 200) + ".restore-" + std::to_string(::getpid())};
  Restore work(options);
  auto done = work.entry({above.get(), source_name}, beside);
  if (!done) {
    remove_all(beside);
    return tl::unexpected(std::move(done).error());
  }
  const bool swap = there && (S_ISDIR(target.st_mode) || S_ISDIR(source.st_mode));
  if (::renameat2(dir.get(), beside.name.c_str(), dir.get(), name.c_str(),
                  swap ? RENAME_EXCHANGE : 0) != 0) {
    auto failed = fail_errno(to);
    remove_all(beside);
    return failed;
  }
  if (swap) remove_all(beside);
  return work.outcome;
}

}  // namespace projfs
