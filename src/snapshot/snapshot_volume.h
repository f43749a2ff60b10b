// SPDX-License-Identifier: MIT
//
// A snapshot as a read-only volume. Keeps nothing of what it reads: records come from the index as
// of the snapshot's epoch, and from the head's inodes where the data of that epoch is still staged.
#pragma once

#include "fs/engine.h"
#include "fs/extent_sharing.h"
#include "fs/file_map.h"
#include "fs/project.h"
#include "meta/view.h"
#include "projfs/volume.h"

namespace projfs::snapshot {

class SnapshotVolume final : public Volume, public fs::ExtentSource {
 public:
  SnapshotVolume(const fs::Engine& engine, std::shared_ptr<fs::Project> project, meta::Epoch epoch,
                 std::uint64_t logical_bytes)
      : engine_(engine),
        project_(std::move(project)),
        view_(project_->view_at(engine.db, epoch)),
        logical_bytes_(logical_bytes) {}

  // Waits for calls under way; later ones fail with ESTALE.
  void revoke();

  // What is not a hole of [begin, end), in order, then `done`; until that returns the pieces stay
  // valid. Returns the size of the file.
  Result<std::uint64_t> pieces(Ino ino, std::uint64_t begin, std::uint64_t end,
                               const fs::PieceVisitor& visit,
                               const std::function<Status()>& done = {});

  Result<bool> with_extents(Ino ino, std::uint64_t begin, std::uint64_t end,
                            const fs::PieceVisitor& visit,
                            const std::function<Status(std::uint64_t size)>& use) override;

  Result<Attr> lookup(Ino parent, std::string_view name) override;
  Result<std::string> readlink(Ino ino) override;
  Status readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) override;
  Result<Attr> getattr(Ino ino) override;
  Result<std::string> getxattr(Ino ino, std::string_view name) override;
  Result<std::vector<std::string>> listxattr(Ino ino) override;
  Result<std::size_t> read(Ino ino, std::uint64_t offset, MutableBytes out) override;
  Result<std::uint64_t> seek(Ino ino, std::uint64_t offset, int whence) override;
  Status fsync(Ino ino, bool data_only) override;
  Status syncfs() override { return {}; }
  Result<VolumeSpace> space() override;
  void forget(Ino /*ino*/) override {}
  void set_kernel_view(KernelView* /*view*/) override {}

  Result<Attr> mknod(Ino, std::string_view, std::uint32_t, std::uint64_t, const Caller&) override {
    return fail(EROFS);
  }
  Result<Attr> mkdir(Ino, std::string_view, std::uint32_t, const Caller&) override {
    return fail(EROFS);
  }
  Result<Attr> symlink(Ino, std::string_view, std::string_view, const Caller&) override {
    return fail(EROFS);
  }
  Result<Attr> link(Ino, Ino, std::string_view) override { return fail(EROFS); }
  Status unlink(Ino, std::string_view) override { return fail(EROFS); }
  Status rmdir(Ino, std::string_view) override { return fail(EROFS); }
  Status rename(Ino, std::string_view, Ino, std::string_view, unsigned) override {
    return fail(EROFS);
  }
  Result<Attr> tmpfile(Ino, std::uint32_t, const Caller&) override { return fail(EROFS); }
  Result<Attr> setattr(Ino, const AttrChange&, const Caller&) override { return fail(EROFS); }
  Status setxattr(Ino, std::string_view, std::string_view, int, bool) override {
    return fail(EROFS);
  }
  Status removexattr(Ino, std::string_view) override { return fail(EROFS); }
  Status write(Ino, std::uint64_t, Bytes, bool) override { return fail(EROFS); }
  Status fallocate(Ino, int, std::uint64_t, std::uint64_t) override { return fail(EROFS); }
  Result<std::uint64_t> copy_range(Ino, std::uint64_t, Ino, std::uint64_t, std::uint64_t) override {
    return fail(EROFS);
  }

 private:
  // Held by every call, so that nothing is removed under it.
  class Use;

  Result<meta::InodeRecord> record(Ino ino);
  Result<Attr> attributes(Ino ino);
  Status walk(Ino ino, std::uint64_t begin, std::uint64_t end, const fs::PieceVisitor& visit);

  const fs::Engine& engine_;
  const std::shared_ptr<fs::Project> project_;
  const meta::View view_;
  const std::uint64_t logical_bytes_;
  fs::Quiesce life_;
  bool revoked_ = false;  // guarded by life_
};

}  // namespace projfs::snapshot
