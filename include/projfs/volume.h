// SPDX-License-Identifier: MIT
//
// The file system of one project: POSIX semantics over inodes, without FUSE. Every call is one
// operation as an application would see it: it is done, and survives a kill of the process, when
// the call returns success; on error nothing changed. The errno in an Error is the one POSIX asks
// for.
//
// Permission checks on path access (rwx bits, ACLs, sticky) are the kernel's (default_permissions);
// what depends on the object itself (quota, set-gid inheritance, suid dropping) is done here.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/bytes.h"
#include "projfs/result.h"

namespace projfs {

using Ino = std::uint64_t;  // never reused within a project; equals the FUSE node id
inline constexpr Ino kRootIno = 1;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::uint64_t kMaxFileSize = 16ull << 40;
inline constexpr std::uint32_t kBlock = 4096;  // unit of allocation, quota and holes

struct Attr {
  Ino ino = 0;
  std::uint32_t mode = 0;  // with the type bits
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t rdev = 0;
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;  // bytes, a multiple of kBlock
  timespec atime{}, mtime{}, ctime{}, btime{};
};

// Who asks, for ownership of what is created.
struct Caller {
  std::uint32_t uid = 0, gid = 0;
  std::uint32_t umask = 0;  // applied unless the parent has a default ACL
  bool privileged = true;   // asks as root
};

// What setattr changes; unset members stay.
struct AttrChange {
  std::optional<std::uint32_t> mode;  // permission bits, suid, sgid, sticky
  std::optional<std::uint32_t> uid, gid;
  std::optional<std::uint64_t> size;
  std::optional<timespec> atime, mtime, ctime;
  bool atime_now = false, mtime_now = false;
  bool drop_set_id = false;  // FATTR_KILL_SUIDGID: clear suid, and sgid if group-executable
};

struct VolumeSpace {  // for statfs
  std::uint64_t total_bytes = 0, free_bytes = 0;
  std::uint64_t total_inodes = 0, free_inodes = 0;
};

struct DirEntry {
  std::string_view name;
  Ino ino = 0;
  std::uint32_t type = 0;         // S_IFMT bits
  std::uint64_t next_cookie = 0;  // resumes the listing after this entry; stable for ever
};

class Volume {
 public:
  virtual ~Volume() = default;

  // --- names ---
  virtual Result<Attr> lookup(Ino parent, std::string_view name) = 0;  // ENOENT if absent
  virtual Result<Attr> mknod(Ino parent, std::string_view name, std::uint32_t mode,
                             std::uint64_t rdev, const Caller& caller) = 0;
  virtual Result<Attr> mkdir(Ino parent, std::string_view name, std::uint32_t mode,
                             const Caller& caller) = 0;
  virtual Result<Attr> symlink(Ino parent, std::string_view name, std::string_view target,
                               const Caller& caller) = 0;
  virtual Result<std::string> readlink(Ino ino) = 0;
  virtual Result<Attr> link(Ino ino, Ino new_parent, std::string_view new_name) = 0;
  virtual Status unlink(Ino parent, std::string_view name) = 0;
  virtual Status rmdir(Ino parent, std::string_view name) = 0;
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE or 0; others EINVAL.
  virtual Status rename(Ino parent, std::string_view name, Ino new_parent,
                        std::string_view new_name, unsigned flags) = 0;
  // A regular file without a name; gone at forget() unless linked before.
  virtual Result<Attr> tmpfile(Ino parent, std::uint32_t mode, const Caller& caller) = 0;

  // Lists a directory from `cookie` (0: start; "." and ".." included, with cookies 1 and 2). `sink`
  // returns false when the entry was not taken: the listing stops before it. `want_attr`: each
  // entry comes with its attributes (null for "." and ".."). An entry there for the whole time is
  // listed exactly once whatever else changes meanwhile.
  using DirSink = std::function<bool(const DirEntry&, const Attr*)>;
  virtual Status readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) = 0;

  // --- attributes ---
  virtual Result<Attr> getattr(Ino ino) = 0;
  virtual Result<Attr> setattr(Ino ino, const AttrChange& change, const Caller& caller) = 0;
  // flags: XATTR_CREATE, XATTR_REPLACE or 0. `kill_sgid`: FUSE_SETXATTR_ACL_KILL_SGID.
  virtual Status setxattr(Ino ino, std::string_view name, std::string_view value, int flags,
                          bool kill_sgid) = 0;
  virtual Result<std::string> getxattr(Ino ino, std::string_view name) = 0;  // ENODATA if absent
  virtual Result<std::vector<std::string>> listxattr(Ino ino) = 0;
  virtual Status removexattr(Ino ino, std::string_view name) = 0;

  // --- data ---
  // Returns the bytes read; fewer than asked only at the end of the file.
  virtual Result<std::size_t> read(Ino ino, std::uint64_t offset, MutableBytes out) = 0;
  // All of `data` is written, or none (EDQUOT, ENOSPC, EFBIG).
  virtual Status write(Ino ino, std::uint64_t offset, Bytes data, bool drop_set_id) = 0;
  virtual Status fallocate(Ino ino, int mode, std::uint64_t offset, std::uint64_t length) = 0;
  // whence: SEEK_DATA or SEEK_HOLE. ENXIO as lseek(2) has it.
  virtual Result<std::uint64_t> seek(Ino ino, std::uint64_t offset, int whence) = 0;
  // Copies by reference; returns the bytes copied (short at the end of the source).
  virtual Result<std::uint64_t> copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                           std::uint64_t to_offset, std::uint64_t length) = 0;
  // The inode's data and metadata (and its name, as ext4 does) survive power loss.
  virtual Status fsync(Ino ino, bool data_only) = 0;
  // Everything acknowledged in this project so far survives power loss.
  virtual Status syncfs() = 0;

  virtual Result<VolumeSpace> space() = 0;

  // --- life of unlinked inodes ---
  // The kernel dropped the inode from its cache: if it has no name and the kernel does not know it
  // any more (see KernelView), its space is given back, at once or a moment later.
  virtual void forget(Ino ino) = 0;

  // How the volume asks whether an unlinked inode may still be open. No lookup counts are kept, so
  // nothing is lost when the daemon restarts.
  class KernelView {
   public:
    virtual ~KernelView() = default;
    // Must be callable from any thread, also inside a request of the same mount.
    virtual bool knows(Ino ino) = 0;
  };
  // Null (the default): no kernel holds anything. The view must outlive its registration.
  virtual void set_kernel_view(KernelView* view) = 0;
};

}  // namespace projfs
