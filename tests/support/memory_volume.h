// SPDX-License-Identifier: MIT
//
// A Volume in memory, for tests of what stands above volumes. It has the whole tree, sparse data,
// xattrs, unlinked-but-open inodes and stable listings. What it lacks: durability (fsync succeeds
// and does nothing), quota, ACL inheritance (a default ACL is stored but new files get mode &
// ~umask), limits on xattrs, and concurrency (one lock around everything).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "projfs/volume.h"

namespace projfs::testing {

class MemoryVolume : public Volume {
 public:
  MemoryVolume();

  // Called at the start of every operation with its name, outside the lock: may wait, throw, or
  // return an error for the operation to fail with.
  using Hook = std::function<Status(std::string_view operation, Ino ino)>;
  void set_hook(Hook hook) { hook_ = std::move(hook); }  // before use

  // Inodes held, unlinked ones included.
  [[nodiscard]] std::size_t inodes() const;
  [[nodiscard]] bool has_kernel_view() const;

  Result<Attr> lookup(Ino parent, std::string_view name) override;
  Result<Attr> mknod(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                     const Caller& caller) override;
  Result<Attr> mkdir(Ino parent, std::string_view name, std::uint32_t mode,
                     const Caller& caller) override;
  Result<Attr> symlink(Ino parent, std::string_view name, std::string_view target,
                       const Caller& caller) override;
  Result<std::string> readlink(Ino ino) override;
  Result<Attr> link(Ino ino, Ino new_parent, std::string_view new_name) override;
  Status unlink(Ino parent, std::string_view name) override;
  Status rmdir(Ino parent, std::string_view name) override;
  Status rename(Ino parent, std::string_view name, Ino new_parent, std::string_view new_name,
                unsigned flags) override;
  Result<Attr> tmpfile(Ino parent, std::uint32_t mode, const Caller& caller) override;
  Status readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) override;
  Result<Attr> getattr(Ino ino) override;
  Result<Attr> setattr(Ino ino, const AttrChange& change, const Caller& caller) override;
  Status setxattr(Ino ino, std::string_view name, std::string_view value, int flags,
                  bool kill_sgid) override;
  Result<std::string> getxattr(Ino ino, std::string_view name) override;
  Result<std::vector<std::string>> listxattr(Ino ino) override;
  Status removexattr(Ino ino, std::string_view name) override;
  Result<std::size_t> read(Ino ino, std::uint64_t offset, MutableBytes out) override;
  Status write(Ino ino, std::uint64_t offset, Bytes data, bool drop_set_id) override;
  Status fallocate(Ino ino, int mode, std::uint64_t offset, std::uint64_t length) override;
  Result<std::uint64_t> seek(Ino ino, std::uint64_t offset, int whence) override;
  Result<std::uint64_t> copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                   std::uint64_t to_offset, std::uint64_t length) override;
  Status fsync(Ino ino, bool data_only) override;
  Status syncfs() override;
  Result<VolumeSpace> space() override;
  void forget(Ino ino) override;
  void set_kernel_view(KernelView* view) override;

 private:
  using Page = std::array<std::uint8_t, kBlock>;
  struct Node {
    Attr attr;
    Ino parent = 0;                                                // of directories
    std::map<std::uint64_t, std::pair<std::string, Ino>> entries;  // by cookie
    std::unordered_map<std::string, std::uint64_t> cookies;        // by name
    std::uint64_t next_cookie = 3;
    std::map<std::uint64_t, std::unique_ptr<Page>> pages;  // by number; absent: a hole
    std::string target;
    std::map<std::string, std::string, std::less<>> xattrs;
  };

  Status enter(std::string_view operation, Ino ino) const;
  Result<Node*> node(Ino ino);
  Result<Node*> directory(Ino ino);
  static Ino find(const Node& dir, std::string_view name);
  Result<Node*> make(Node& parent, std::uint32_t mode, const Caller& caller);
  Result<Attr> make_named(Ino parent, std::string_view name, std::uint32_t mode,
                          const Caller& caller, const std::function<void(Node&)>& fill);
  void add_name(Node& dir, std::string_view name, Ino ino);
  static void drop_name(Node& dir, std::string_view name);
  void lost_a_name(Node& node);
  static void resize(Node& node, std::uint64_t size);
  static void punch(Node& node, std::uint64_t offset, std::uint64_t length);
  static void store(Node& node, std::uint64_t offset, Bytes data);
  static std::size_t load(const Node& node, std::uint64_t offset, MutableBytes out);
  static void account(Node& node);

  Hook hook_;
  mutable std::mutex mutex_;
  std::unordered_map<Ino, std::unique_ptr<Node>> nodes_;  // all below: guarded by mutex_
  Ino next_ino_ = kRootIno + 1;
  KernelView* view_ = nullptr;
};

}  // namespace projfs::testing
