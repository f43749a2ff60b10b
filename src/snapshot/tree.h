// SPDX-License-Identifier: MIT
//
// A project as its users see it: the head, and `.snapshots` in every directory.
//
//   - `.snapshots` is found in every directory of the head and listed in none, so that rm -r, find
//     and tar do not wander into it. It cannot be made, removed or renamed.
//   - In the root it lists every snapshot, elsewhere those in which that directory exists. Making a
//     directory in it makes a snapshot, removing one deletes it, renaming one renames it: for the
//     owner of the project's root directory and for root.
//   - What is inside a snapshot is read-only (EROFS) and never changes. Snapshots have no
//     `.snapshots` of their own.
//   - The attribute user.projfs.status of every directory is the state of the project, and
//     user.projfs.snapshot of every directory in a snapshot is what there is to know of that; they
//     are not listed and cannot be changed.
//
// Node ids are those of projfs/node_id.h. Everything that concerns the head alone is handed on
// unchanged: a comparison of the node id is all that it pays.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <functional>
#include <memory>

#include "projfs/node_id.h"
#include "projfs/volume.h"
#include "snapshot/change_signal.h"

namespace projfs::snapshot {

// The snapshots of one project, as far as the tree needs them.
class SnapshotSet {
 public:
  struct Entry {
    std::uint64_t number = 0;  // never used again within the project, at least 1
    std::string name;
  };
  virtual ~SnapshotSet() = default;

  virtual Result<Entry> find(std::string_view name) = 0;  // ENOENT
  // Those with a number above `after`, in the order of their numbers, until `sink` returns false.
  virtual Status list(std::uint64_t after, const std::function<bool(const Entry&)>& sink) = 0;
  // The content; ESTALE once it has been deleted. Cheap when called again and again.
  virtual Result<std::shared_ptr<Volume>> volume(std::uint64_t number) = 0;
  // When a snapshot was last made, deleted or renamed: a time that never comes twice.
  virtual timespec changed() = 0;

  virtual Result<Entry> create(std::string_view name) = 0;
  virtual Status remove(std::string_view name) = 0;
  virtual Status rename(std::string_view from, std::string_view to) = 0;
  // What there is to know of one, for its user.projfs.snapshot.
  virtual Result<std::string> describe(std::uint64_t number) = 0;
};

class SnapshotTree final : public Volume {
 public:
  // The value of user.projfs.status.
  using StatusText = std::function<Result<std::string>()>;

  // `changes` (may be null) is raised by what changes the head.
  SnapshotTree(std::shared_ptr<Volume> head, std::shared_ptr<SnapshotSet> snapshots,
               StatusText status, std::shared_ptr<ChangeSignal> changes = nullptr);

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
  Status syncfs() override { return head_->syncfs(); }
  Result<VolumeSpace> space() override { return head_->space(); }

  void forget(Ino ino) override;
  void set_kernel_view(KernelView* view) override { head_->set_kernel_view(view); }

 private:
  // The volume that a node inside a snapshot lives in.
  Result<std::shared_ptr<Volume>> inside(Ino node);
  Result<Attr> snapshots_directory(Ino directory);  // attributes of `.snapshots` of it
  // What `.snapshots` of `directory` (of the head) shows of a snapshot: `directory` as it was.
  Result<Attr> as_it_was(Ino directory, std::uint64_t snapshot);
  Status list_snapshots(Ino directory, std::uint64_t cookie, bool want_attr, const DirSink& sink);
  // `result`, after a change of the head.
  template <class T>
  T noted(T result) {
    if (result && changes_) changes_->raise();
    return result;
  }
  // EPERM unless the caller owns the project or is root.
  Status may_change(const Caller& caller);

  const std::shared_ptr<Volume> head_;
  const std::shared_ptr<SnapshotSet> snapshots_;
  const StatusText status_;
  const std::shared_ptr<ChangeSignal> changes_;
};

}  // namespace projfs::snapshot
