// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <map>

#include "host/descriptor.h"
#include "host/host_tree.h"
#include "host/tree_copy.h"

namespace projfs {
namespace {

constexpr std::size_t kPiece = 1 << 20;

class Export {
 public:
  Export(Volume& volume, const CopyProgress& expected, const CopyWatch& watch)
      : volume_(volume), watch_(watch) {
    progress_.files_total = expected.files_total;
    progress_.bytes_total = expected.bytes_total;
  }

  Result<CopyOutcome> run(const std::string& target, bool resume) {
    const bool made = ::mkdir(target.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return fail_errno("cannot create the directory " + target);
    top_ = Descriptor(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top_) return fail_errno("cannot open the directory " + target);
    if (!made && !resume) {
      PROJFS_ASSIGN(const auto names, host_names(top_.get()));
      if (!names.empty()) {
        return fail(ENOTEMPTY, "the directory " + target +
                                   " is not empty; choose a new one, or use --resume to go on with "
                                   "an interrupted export");
      }
    }
    PROJFS_ASSIGN(const auto root, volume_.getattr(kRootIno));
    PROJFS_TRY(directory(kRootIno, top_.get(), ""));
    PROJFS_TRY(settle(adopt(root, {top_.get(), "."}), target));
    return std::move(outcome_);
  }

 private:
  struct Child {
    std::string name;
    Attr attr;
  };

  Status tick() {
    if (watch_.progress && !watch_.progress(progress_)) {
      return fail(ECANCELED, "interrupted; what has been copied stays, and --resume goes on");
    }
    return {};
  }

  Status settle(Status done, const std::string& path) {
    if (done) return {};
    Error error = std::move(done).error();
    if (stopped_) return tl::unexpected(std::move(error));
    stopped_ = error.code == ENOSPC || error.code == EDQUOT || error.code == ECANCELED;
    if (error.code == ENOSPC || error.code == EDQUOT) {
      return fail(error.code, "no room for " + path +
                                  " there; what has been copied stays: make room and use --resume");
    }
    if (stopped_) return tl::unexpected(std::move(error));
    outcome_.add_problem(path + ": " + error.describe());
    return {};
  }

  Status directory(Ino from, int to, const std::string& path) {
    // The whole listing first: no callback of the volume is held while other calls go on.
    std::vector<Child> children;
    auto listed = volume_.readdir(from, 0, true, [&](const DirEntry& entry, const Attr* attr) {
      if (attr != nullptr) children.push_back({std::string(entry.name), *attr});
      return true;
    });
    if (!listed) return settle(std::move(listed), path);
    for (const auto& child : children) {
      PROJFS_TRY(tick());
      const std::string below = path.empty() ? child.name : path + "/" + child.name;
      PROJFS_TRY(settle(entry(child, {to, child.name}, below), below));
      ++progress_.files;
    }
    return {};
  }

  Status entry(const Child& from, const HostEntry& to, const std::string& path) {
    struct stat there {};
    bool exists = ::fstatat(to.dir, to.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
    const bool is_directory = S_ISDIR(from.attr.mode);
    if (exists && S_ISDIR(there.st_mode) && !is_directory)
      return fail(EISDIR, "a directory of this name is in the way");
    // Only a regular file or directory of an interrupted export is kept.
    const bool same_type = exists && (there.st_mode & S_IFMT) == (from.attr.mode & S_IFMT);
    if (exists && !(same_type && (is_directory || S_ISREG(there.st_mode)))) {
      if (::unlinkat(to.dir, to.name.c_str(), 0) != 0) return fail_errno("cannot replace it");
      exists = false;
    }
    if (is_directory) return subdirectory(from, to, exists, path);

    if (from.attr.nlink > 1) {
      if (const auto known = linked_.find(from.attr.ino); known != linked_.end())
        return hard_link(known->second, to, exists);
      linked_.emplace(from.attr.ino, path);
    }
    if (S_ISREG(from.attr.mode)) {
      if (exists && static_cast<std::uint64_t>(there.st_size) == from.attr.size &&
          there.st_mtim.tv_sec == from.attr.mtime.tv_sec &&
          there.st_mtim.tv_nsec == from.attr.mtime.tv_nsec) {
        ++outcome_.unchanged;
        progress_.bytes += from.attr.allocated;
      } else {
        // Written in place it would change under its other names too.
        if (exists && there.st_nlink > 1 && ::unlinkat(to.dir, to.name.c_str(), 0) != 0)
          return fail_errno("cannot replace it");
        PROJFS_TRY(file_data(from.attr, to));
        ++outcome_.files;
      }
    } else {
      PROJFS_TRY(make(from.attr, to));
      ++outcome_.others;
    }
    return adopt(from.attr, to);
  }

  Status subdirectory(const Child& from, const HostEntry& to, bool exists,
                      const std::string& path) {
    if (!exists && ::mkdirat(to.dir, to.name.c_str(), 0700) != 0)
      return fail_errno("cannot create it");
    exists ? ++outcome_.unchanged : ++outcome_.directories;
    const Descriptor dir(
        ::openat(to.dir, to.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return fail_errno("cannot open it");
    PROJFS_TRY(directory(from.attr.ino, dir.get(), path));
    return adopt(from.attr, {dir.get(), "."});
  }

  Status hard_link(const std::string& first, const HostEntry& to, bool exists) {
    if (exists && ::unlinkat(to.dir, to.name.c_str(), 0) != 0)
      return fail_errno("cannot replace it");
    if (::linkat(top_.get(), first.c_str(), to.dir, to.name.c_str(), 0) != 0)
      return fail_errno("cannot link it to " + first);
    ++outcome_.others;
    return {};
  }

  Status make(const Attr& attr, const HostEntry& to) {
    if (S_ISLNK(attr.mode)) {
      PROJFS_ASSIGN(const auto target, volume_.readlink(attr.ino));
      if (::symlinkat(target.c_str(), to.dir, to.name.c_str()) != 0)
        return fail_errno("cannot create it");
      return {};
    }
    if (::mknodat(to.dir, to.name.c_str(), (attr.mode & S_IFMT) | 0600, attr.rdev) != 0)
      return fail_errno("cannot create it");
    return {};
  }

  Status file_data(const Attr& from, const HostEntry& to) {
    const Descriptor file(::openat(to.dir, to.name.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot create it");
    buffer_.resize(kPiece);
    std::uint64_t position = 0;
    while (position < from.size) {
      const auto data = volume_.seek(from.ino, position, SEEK_DATA);
      if (!data && data.error().code == ENXIO) break;
      if (!data) return tl::unexpected(data.error());
      PROJFS_ASSIGN(const auto hole, volume_.seek(from.ino, *data, SEEK_HOLE));
      position = *data;
      while (position < hole) {
        const auto wanted = std::min<std::uint64_t>(kPiece, hole - position);
        PROJFS_ASSIGN(const auto n,
                      volume_.read(from.ino, position, MutableBytes(buffer_.data(), wanted)));
        if (n == 0) break;
        PROJFS_TRY(write(file.get(), position, n));
        position += n;
        outcome_.bytes += n;
        progress_.bytes += n;
        PROJFS_TRY(tick());
      }
      if (position < hole) break;  // it became shorter while we read it
    }
    if (::ftruncate(file.get(), static_cast<off_t>(from.size)) != 0)
      return fail_errno("cannot set its size");
    return {};
  }

  Status write(int fd, std::uint64_t at, std::size_t count) {
    std::size_t done = 0;
    while (done < count) {
      const auto n =
          ::pwrite(fd, buffer_.data() + done, count - done, static_cast<off_t>(at + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("cannot write it");
      done += static_cast<std::size_t>(n);
    }
    return {};
  }

  // In the order that keeps what the step before has set: owner, attributes, mode, times.
  Status adopt(const Attr& from, const HostEntry& to) {
    if (::fchownat(to.dir, to.name.c_str(), from.uid, from.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("cannot set its owner");
    PROJFS_TRY(attributes(from.ino, to));
    if (!S_ISLNK(from.mode) && ::fchmodat(to.dir, to.name.c_str(), from.mode & 07777, 0) != 0)
      return fail_errno("cannot set its mode");
    const std::array<timespec, 2> times = {from.atime, from.mtime};
    if (::utimensat(to.dir, to.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("cannot set its times");
    return {};
  }

  Status attributes(Ino ino, const HostEntry& to) {
    PROJFS_ASSIGN(const auto names, volume_.listxattr(ino));
    PROJFS_ASSIGN(const auto present, host_attributes(to));
    for (const auto& [name, value] : present) {
      if (std::find(names.begin(), names.end(), name) == names.end() &&
          ::lremovexattr(to.path().c_str(), name.c_str()) != 0 && errno != ENODATA)
        return fail_errno("cannot remove its attribute " + name);
    }
    for (const auto& name : names) {
      PROJFS_ASSIGN(const auto value, volume_.getxattr(ino, name));
      if (const auto at = present.find(name); at != present.end() && at->second == value) continue;
      if (::lsetxattr(to.path().c_str(), name.c_str(), value.data(), value.size(), 0) != 0)
        return fail_errno("cannot set its attribute " + name);
    }
    return {};
  }

  Volume& volume_;
  const CopyWatch& watch_;
  Descriptor top_;
  CopyOutcome outcome_;
  CopyProgress progress_;
  bool stopped_ = false;               // the error on its way up ends the copy, and says where
  std::map<Ino, std::string> linked_;  // path of the first name, from the top
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

Result<CopyOutcome> export_tree(Volume& volume, const std::string& target, bool resume,
                                const CopyProgress& expected, const CopyWatch& watch) {
  return Export(volume, expected, watch).run(target, resume);
}

}  // namespace projfs
