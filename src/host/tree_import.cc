// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <map>

#include "host/descriptor.h"
#include "host/host_tree.h"
#include "host/tree_copy.h"

namespace projfs {
namespace {

constexpr std::size_t kPiece = 1 << 20;

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// No room: nothing that follows would fit, or only by luck.
bool stops_the_copy(const Error& error) {
  return error.code == EDQUOT || error.code == ENOSPC || error.code == ECANCELED;
}

class Import {
 public:
  Import(Volume& volume, std::optional<dev_t> skip_device, const CopyWatch& watch)
      : volume_(volume), skip_device_(skip_device), watch_(watch) {}

  Result<CopyOutcome> run(const std::string& source) {
    Descriptor top(::open(source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top) return fail_errno("cannot read the directory " + source);
    progress_ = count_host_tree(top.get(), skip_device_);
    PROJFS_TRY(directory(top.get(), kRootIno, source));
    PROJFS_TRY(finish_directory(top.get(), kRootIno, source));
    changed(kRootIno, "", kRootIno);
    return std::move(outcome_);
  }

 private:
  Status tick() {
    if (watch_.progress && !watch_.progress(progress_)) {
      return fail(ECANCELED,
                  "interrupted; what has been copied stays, and running it again goes on");
    }
    return {};
  }
  // `name`: empty if it names what it named before.
  void changed(Ino parent, std::string_view name, Ino child) const {
    if (watch_.changed) watch_.changed(parent, name, child);
  }

  // Keeps a problem with one entry, and passes on what ends the copy.
  Status settle(Status done, const std::string& path) {
    if (done) return {};
    Error error = std::move(done).error();
    if (stopped_) return tl::unexpected(std::move(error));
    stopped_ = stops_the_copy(error);
    if (error.code == EDQUOT) {
      return fail(EDQUOT, "the project's quota is used up at " + path +
                              "; what has been copied stays: raise the quota and run it again");
    }
    if (error.code == ENOSPC) {
      return fail(ENOSPC, "the store has no room for " + path +
                              "; what has been copied stays: free disk space and run it again");
    }
    if (stopped_) return tl::unexpected(std::move(error));
    outcome_.add_problem(path + ": " + error.describe());
    return {};
  }

  // The children of the open directory `dir`.
  Status directory(int dir, Ino to, const std::string& path) {
    const auto names = host_names(dir);
    if (!names) return settle(tl::unexpected(names.error()), path);
    for (const auto& name : *names) {
      PROJFS_TRY(tick());
      const std::string below = std::string(path).append("/").append(name);
      PROJFS_TRY(settle(entry(dir, name, to, below), below));
      ++progress_.files;
    }
    return {};
  }

  Status entry(int dir, const std::string& name, Ino to, const std::string& path) {
    struct stat info {};
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("stat");
    const HostEntry from{dir, name};

    std::optional<Attr> there;
    if (auto found = volume_.lookup(to, name)) {
      there = *found;
    } else if (found.error().code != ENOENT) {
      return tl::unexpected(std::move(found).error());
    }
    const bool same_type = there && (there->mode & S_IFMT) == (info.st_mode & S_IFMT);
    if (there && !same_type && S_ISDIR(there->mode))
      return fail(EISDIR, "the project has a directory of this name; remove it first");

    if (S_ISDIR(info.st_mode))
      return subdirectory(from, info, to, same_type ? there : std::nullopt, there && !same_type,
                          path);
    if (info.st_nlink > 1) {
      const auto known = linked_.find({info.st_dev, info.st_ino});
      if (known != linked_.end()) return hard_link(known->second, to, name, there);
    }
    if (there && !(same_type && S_ISREG(info.st_mode))) {
      // Links and special files are small: made again rather than compared, unless they are the
      // same.
      if (same_type && same_node(from, info, *there)) {
        ++outcome_.unchanged;
        remember(info, there->ino);
        return adopt(from, info, *there);
      }
      PROJFS_TRY(volume_.unlink(to, name));
      there.reset();
    }
    const bool unchanged = there && there->size == static_cast<std::uint64_t>(info.st_size) &&
                           same_time(there->mtime, info.st_mtim);
    if (there && !unchanged && there->nlink > 1) {
      // Written in place it would change under its other names too.
      PROJFS_TRY(volume_.unlink(to, name));
      there.reset();
    }
    Result<Attr> made = there ? Result<Attr>(*there) : make(from, info, to);
    if (!made) return tl::unexpected(std::move(made).error());
    remember(info, made->ino);
    if (S_ISREG(info.st_mode)) {
      if (unchanged) {
        ++outcome_.unchanged;
        progress_.bytes += there->size;
      } else {
        PROJFS_TRY(file_data(from, *made));
        ++outcome_.files;
      }
    } else {
      ++outcome_.others;
    }
    auto done = adopt(from, info, *made);
    changed(to, there ? std::string_view() : name, made->ino);
    return done;
  }

  Status subdirectory(const HostEntry& from, const struct stat& info, Ino to,
                      const std::optional<Attr>& there, bool in_the_way, const std::string& path) {
    if (in_the_way) PROJFS_TRY(volume_.unlink(to, from.name));
    Ino ino = there ? there->ino : 0;
    if (!there) {
      // Closed to others until its own mode is set, last of all.
      PROJFS_ASSIGN(const auto made, volume_.mkdir(to, from.name, 0700, Caller{}));
      ino = made.ino;
      ++outcome_.directories;
    } else {
      ++outcome_.unchanged;
    }
    if (skip_device_ && info.st_dev == *skip_device_) return {};
    const Descriptor dir(::openat(from.dir, from.name.c_str(),
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
    if (!dir) return fail_errno("cannot open it");
    PROJFS_TRY(directory(dir.get(), ino, path));
    auto done = finish_directory(dir.get(), ino, path);
    changed(to, there ? std::string_view() : from.name, ino);
    return done;
  }

  Status finish_directory(int dir, Ino ino, const std::string& path) {
    struct stat info {};
    if (::fstat(dir, &info) != 0) return settle(fail_errno("stat"), path);
    const auto attr = volume_.getattr(ino);
    if (!attr) return settle(tl::unexpected(attr.error()), path);
    return settle(adopt({dir, "."}, info, *attr), path);
  }

  Status hard_link(Ino ino, Ino to, const std::string& name, const std::optional<Attr>& there) {
    if (there && there->ino == ino) {
      ++outcome_.unchanged;
      return {};
    }
    if (there) PROJFS_TRY(volume_.unlink(to, name));
    PROJFS_TRY(volume_.link(ino, to, name));
    ++outcome_.others;
    changed(to, name, ino);
    return {};
  }

  Result<Attr> make(const HostEntry& from, const struct stat& info, Ino to) {
    const Caller caller{.uid = info.st_uid, .gid = info.st_gid};
    if (S_ISLNK(info.st_mode)) {
      PROJFS_ASSIGN(const auto target, host_link_target(from));
      return volume_.symlink(to, from.name, target, caller);
    }
    const std::uint32_t mode = (info.st_mode & S_IFMT) | 0600;
    return volume_.mknod(to, from.name, mode, info.st_rdev, caller);
  }

  bool same_node(const HostEntry& from, const struct stat& info, const Attr& there) {
    if (!S_ISLNK(info.st_mode)) return there.rdev == info.st_rdev;
    const auto here = host_link_target(from);
    const auto target = volume_.readlink(there.ino);
    return here && target && *here == *target;
  }

  void remember(const struct stat& info, Ino ino) {
    if (info.st_nlink > 1) linked_[{info.st_dev, info.st_ino}] = ino;
  }

  // Data and holes. The modification time is set after it, so a file cut short is seen as
  // different.
  Status file_data(const HostEntry& from, const Attr& to) {
    const Descriptor file(::openat(from.dir, from.name.c_str(),
                                   O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC));
    if (!file) return fail_errno("cannot open it");
    const Caller root{};
    if (to.size > 0) PROJFS_TRY(volume_.setattr(to.ino, {.size = 0}, root));
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return fail_errno("stat");

    off_t position = 0;
    buffer_.resize(kPiece);
    while (position < info.st_size) {
      off_t data = ::lseek(file.get(), position, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;
      if (data < 0) data = position;  // a file system without holes
      off_t hole = ::lseek(file.get(), data, SEEK_HOLE);
      if (hole < 0) hole = info.st_size;
      while (data < hole) {
        const auto wanted = std::min<std::size_t>(kPiece, static_cast<std::size_t>(hole - data));
        const auto n = ::pread(file.get(), buffer_.data(), wanted, data);
        if (n < 0) return fail_errno("cannot read it");
        if (n == 0) break;
        const auto count = static_cast<std::size_t>(n);
        PROJFS_TRY(volume_.write(to.ino, static_cast<std::uint64_t>(data),
                                 Bytes(buffer_.data(), count), false));
        data += n;
        outcome_.bytes += count;
        progress_.bytes += count;
        PROJFS_TRY(tick());
      }
      if (data < hole) break;  // it became shorter while we read it
      position = hole;
    }
    return volume_.setattr(to.ino, {.size = static_cast<std::uint64_t>(info.st_size)}, root)
        .map([](const Attr&) {});
  }

  // Owner before mode, since chown drops set-id bits; attributes before mode, since an ACL carries
  // the group's bits; times last.
  Status adopt(const HostEntry& from, const struct stat& info, const Attr& to) {
    const Caller root{};
    if (to.uid != info.st_uid || to.gid != info.st_gid)
      PROJFS_TRY(volume_.setattr(to.ino, {.uid = info.st_uid, .gid = info.st_gid}, root));
    PROJFS_TRY(attributes(from, to.ino));
    AttrChange change{.atime = info.st_atim, .mtime = info.st_mtim};
    if (!S_ISLNK(info.st_mode)) change.mode = info.st_mode & 07777;
    return volume_.setattr(to.ino, change, root).map([](const Attr&) {});
  }

  Status attributes(const HostEntry& from, Ino ino) {
    PROJFS_ASSIGN(const auto wanted, host_attributes(from));
    // Also what was inherited from the parent's default ACL has to go.
    PROJFS_ASSIGN(const auto present, volume_.listxattr(ino));
    for (const auto& name : present) {
      if (!wanted.contains(name)) PROJFS_TRY(volume_.removexattr(ino, name));
    }
    for (const auto& [name, value] : wanted) {
      if (const auto now = volume_.getxattr(ino, name); now && *now == value) continue;
      PROJFS_TRY(volume_.setxattr(ino, name, value, 0, false));
    }
    return {};
  }

  Volume& volume_;
  const std::optional<dev_t> skip_device_;
  const CopyWatch& watch_;
  CopyOutcome outcome_;
  CopyProgress progress_;
  bool stopped_ = false;  // the error on its way up ends the copy, and says where
  std::map<std::pair<dev_t, ino_t>, Ino> linked_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

Result<CopyOutcome> import_tree(Volume& volume, const std::string& source,
                                std::optional<dev_t> skip_device, const CopyWatch& watch) {
  return Import(volume, skip_device, watch).run(source);
}

}  // namespace projfs
