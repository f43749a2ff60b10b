// SPDX-License-Identifier: MIT
//
// The Volume of a project over the store's services. Its operations are split by theme:
// names.cc (look-up, creation, removal), rename.cc, listing.cc, attributes.cc, xattrs.cc, data.cc,
// ranges.cc (fallocate, seek, copy), orphans.cc (unlinked inodes), locking.h (several inodes at
// once).
#pragma once

#include <atomic>

#include "fs/data_change.h"
#include "fs/engine.h"
#include "fs/entry.h"
#include "fs/extent_commit.h"
#include "fs/extent_sharing.h"
#include "fs/project.h"
#include "projfs/volume.h"

namespace projfs::fs {

class ProjectVolume final : public Volume,
                            public ExtentTarget,
                            public std::enable_shared_from_this<ProjectVolume> {
 public:
  ProjectVolume(const Engine& engine, std::shared_ptr<Project> project)
      : engine_(engine), project_(std::move(project)) {}
  ~ProjectVolume() override;

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
  Result<std::uint64_t> copy_in(ExtentSource& source, Ino from, std::uint64_t from_offset, Ino to,
                                std::uint64_t to_offset, std::uint64_t length) override;
  Status fsync(Ino ino, bool data_only) override;
  Status syncfs() override;
  Result<VolumeSpace> space() override;

  void forget(Ino ino) override;
  void set_kernel_view(KernelView* view) override;

  // Gives back the space of unlinked inodes that no kernel knows any more.
  void reclaim_orphans();
  // Gives back the space of those that forget() left for later.
  void reclaim_pending();
  [[nodiscard]] Project& project() const { return *project_; }

 private:
  [[nodiscard]] Result<InodePtr> inode(Ino ino) const { return engine_.inodes.get(project_, ino); }
  [[nodiscard]] Result<InodePtr> directory(Ino ino) const;
  [[nodiscard]] std::uint64_t name_hash(std::string_view name) const;
  [[nodiscard]] std::string key_of_entry(Ino dir, std::string_view name) const;
  [[nodiscard]] Result<std::optional<Entry>> find_entry(Ino dir, std::string_view name) const;
  struct Named {
    InodePtr inode;
    meta::Epoch born = 0;  // of the entry
  };
  [[nodiscard]] Result<Named> named(Ino dir, std::string_view name) const;
  [[nodiscard]] static Result<std::optional<Entry>> parse_entry(std::string_view payload);
  [[nodiscard]] static std::string format_entry(Ino ino, std::uint32_t mode);
  // Attributes of many inodes; those that are gone come with ino 0.
  Status attributes_of(std::span<const Ino> inos, std::vector<Attr>& out) const;
  [[nodiscard]] Result<bool> is_within(Ino dir, Ino ancestor) const;
  [[nodiscard]] meta::Change change() const {
    return {engine_.db, project_->number(), project_->epochs(), &project_->head()};
  }

  // What a new inode starts with, and its xattrs (an inherited ACL).
  struct NewInode {
    Ino ino = 0;
    meta::InodeRecord record;
    std::vector<std::pair<std::string, std::string>> xattrs;
    [[nodiscard]] std::uint64_t xattr_bytes() const;
  };
  Result<NewInode> new_inode(const Inode& parent, std::uint32_t mode, const Caller& caller);
  Status put_new(meta::Change& change, NewInode& fresh) const;
  [[nodiscard]] InodePtr adopt(NewInode fresh) const;  // after the commit
  Result<Attr> create(Ino parent, std::string_view name, std::uint32_t mode, std::uint64_t rdev,
                      std::string_view target, const Caller& caller);
  Status remove(Ino parent, std::string_view name, bool directory);

  // Where a name is: the directory, and the name's hash. An inode knows the places of its names.
  struct Place {
    Ino dir;
    std::uint64_t hash;
  };
  Status note_name(meta::Change& change, Ino ino, meta::InodeRecord& next, Place place) const;
  Status move_name(meta::Change& change, Ino ino, meta::InodeRecord& next, Place from,
                   Place to) const;
  // `next` loses the link at `place`; without any left it becomes an orphan.
  Status drop_link(meta::Change& change, const Inode& inode, meta::InodeRecord& next,
                   Place place) const;

  // What was taken from the quota, given back unless kept.
  class Charge {
   public:
    Charge(Project& project, std::uint64_t bytes, std::uint64_t inodes)
        : project_(&project), bytes_(bytes), inodes_(inodes) {}
    Charge(Charge&& o) noexcept
        : project_(std::exchange(o.project_, nullptr)), bytes_(o.bytes_), inodes_(o.inodes_) {}
    Charge& operator=(Charge&&) = delete;
    ~Charge() {
      if (project_ != nullptr) project_->refund(bytes_, inodes_);
    }
    void keep() { project_ = nullptr; }

   private:
    Project* project_;
    std::uint64_t bytes_, inodes_;
  };
  // Takes it from the quota (EDQUOT), if the disk has room too (ENOSPC).
  Result<Charge> charge(std::uint64_t bytes, std::uint64_t inodes);
  [[nodiscard]] tl::unexpected<Error> out_of_space() const;
  // Runs `operation`; if it fails for quota while unlinked files hold some that no kernel knows any
  // more (their FORGET is still on its way), gives that back and runs it again. REQUIRES: no locks.
  template <class Operation>
  auto with_quota(const Operation& operation) {
    auto result = operation();
    if (!result && result.error().code == EDQUOT) {
      if (!project_->orphans().empty()) {
        reclaim_orphans();
        result = operation();
      }
      if (!result && result.error().code == EDQUOT) ++engine_.counters.refused_quota;
    }
    return result;
  }

  // Stages one change of data: checks quota and space, appends, applies. REQUIRES: the inode is
  // locked alone, and quiesce shared. The caller enqueues the inode for ingestion once it let go.
  Status stage_change(Inode& inode, StageRecord record, Bytes data);
  // A file that changes loses its capabilities (capabilities(7)).
  Status drop_capability(Inode& inode);
  Result<std::optional<std::uint64_t>> take_xattr(meta::Change& change, const Inode& inode,
                                                  meta::InodeRecord& next,
                                                  std::string_view name) const;
  Status take_capability(meta::Change& change, const Inode& inode, meta::InodeRecord& next,
                         std::uint64_t& freed) const;
  Result<std::vector<std::string>> list_names(const Inode& inode) const;
  Result<Attr> change_attributes(const InodePtr& inode, const AttrChange& change);
  Status put_xattr(Inode& inode, std::string_view name, std::string_view value, int flags,
                   bool kill_sgid);
  Result<std::uint64_t> copy_references(const Inode& source, std::uint64_t begin, std::uint64_t end,
                                        Inode& target, std::uint64_t to);
  Result<std::uint64_t> commit_copy(const std::vector<NewExtent>& extents, std::uint64_t length,
                                    Inode& target, std::uint64_t to);

  [[nodiscard]] bool is_lost(Ino ino) const;  // without a name, and no kernel knows it
  Status reclaim(Ino ino);
  void reclaim_lost(std::vector<Ino> inos);
  Status reclaim_small(std::span<const Ino> inos, std::vector<Ino>& others);
  Result<bool> remove_segments(meta::Change& change, const Inode& inode, std::size_t most) const;
  Result<std::uint64_t> remove_records(meta::Change& change, const Inode& inode) const;
  void let_go(Inode& inode, std::uint64_t xattr_bytes);

  const Engine& engine_;
  const std::shared_ptr<Project> project_;
  mutable std::mutex kernel_mutex_;  // held while kernel_ is asked something
  std::atomic<KernelView*> kernel_{nullptr};
  std::mutex pending_mutex_;
  std::vector<Ino> pending_;  // forgotten, to be reclaimed; guarded by pending_mutex_
};

[[nodiscard]] timespec now();
// ENAMETOOLONG, EINVAL (empty, ".", "..", a slash or NUL) or EPERM (reserved).
Status check_name(std::string_view name);

}  // namespace projfs::fs
