// SPDX-License-Identifier: MIT
//
// Look-up, creation and removal of names.
#include <sys/stat.h>
#include <ctime>

#include "fs/acl.h"
#include "fs/locking.h"
#include "fs/project_volume.h"

namespace projfs::fs {

using meta::InodeRecord;

timespec now() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return t;
}

Status check_name(std::string_view name) {
  if (name.empty()) return fail(ENOENT);
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  if (name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos)
    return fail(EINVAL);
  if (name == ".snapshots") {
    return fail(EPERM, "the name .snapshots is reserved for a project's snapshots");
  }
  return {};
}

Result<InodePtr> ProjectVolume::directory(Ino ino) const {
  PROJFS_ASSIGN(auto dir, inode(ino));
  if (!S_ISDIR(dir->record.mode)) return fail(ENOTDIR);  // the type of an inode never changes
  return dir;
}

std::uint64_t ProjectVolume::name_hash(std::string_view name) const {
  return fs::name_hash(project_->name_seed(), name);
}

std::string ProjectVolume::key_of_entry(Ino dir, std::string_view name) const {
  return meta::entry_key(project_->number(), dir, name_hash(name), name);
}

Result<std::optional<Entry>> ProjectVolume::find_entry(Ino dir, std::string_view name) const {
  PROJFS_ASSIGN(const auto live, project_->head().find(key_of_entry(dir, name)));
  if (!live) return std::optional<Entry>();
  PROJFS_ASSIGN(auto entry, fs::parse_entry(live->payload));
  entry.born = live->born;
  return std::optional<Entry>(entry);
}

Result<std::optional<Entry>> ProjectVolume::parse_entry(std::string_view payload) {
  PROJFS_ASSIGN(const auto entry, fs::parse_entry(payload));
  return std::optional<Entry>(entry);
}

std::string ProjectVolume::format_entry(Ino ino, std::uint32_t mode) {
  std::string out;
  put_varint(out, ino);
  put_u8(out, static_cast<std::uint8_t>((mode & S_IFMT) >> 12));
  return out;
}

Result<Attr> ProjectVolume::lookup(Ino parent, std::string_view name) {
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  if (name == ".") return getattr(parent);  // also of a file, for whom opens it by a handle
  PROJFS_ASSIGN(const auto dir, directory(parent));
  if (name == "..") return getattr(dir->record.parent);
  PROJFS_ASSIGN(const auto entry, find_entry(parent, name));
  if (!entry) return fail(ENOENT);
  PROJFS_ASSIGN(const auto found, inode(entry->ino));
  const std::shared_lock lock(found->mutex);
  return found->attr();
}

std::uint64_t ProjectVolume::NewInode::xattr_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, value] : xattrs) total += name.size() + value.size();
  return total;
}

// REQUIRES: parent's mutex is held.
Result<ProjectVolume::NewInode> ProjectVolume::new_inode(const Inode& parent, std::uint32_t mode,
                                                         const Caller& caller) {
  NewInode fresh;
  auto& r = fresh.record;
  r.uid = caller.uid;
  r.gid = caller.gid;
  if ((parent.record.mode & S_ISGID) != 0) {
    r.gid = parent.record.gid;
    if (S_ISDIR(mode)) mode |= S_ISGID;
  }
  const bool inherits = (parent.record.flags & InodeRecord::kDefaultAcl) != 0 && !S_ISLNK(mode);
  if (inherits) {
    PROJFS_ASSIGN(const auto value, project_->head().find(meta::xattr_key(
                                        project_->number(), parent.ino, kDefaultAclName)));
    auto acl = value ? Acl::parse(value->payload) : std::nullopt;
    if (!acl) return fail(EIO, "a default ACL does not decode");
    if (S_ISDIR(mode)) {
      fresh.xattrs.emplace_back(kDefaultAclName, acl->format());
      r.flags |= InodeRecord::kDefaultAcl;
    }
    mode = acl->inherit(mode);
    if (!acl->is_trivial()) {
      fresh.xattrs.emplace_back(kAccessAclName, acl->format());
      r.flags |= InodeRecord::kAccessAcl;
    }
    if (!fresh.xattrs.empty()) r.flags |= InodeRecord::kHasXattrs;
  } else if (!S_ISLNK(mode)) {
    mode &= ~caller.umask;
  }
  r.mode = mode;
  r.nlink = S_ISDIR(mode) ? 2 : 1;
  r.btime = now();
  r.atime = r.mtime = r.ctime = r.btime;
  // Whatever the stage holds for this number is from a life that a crash undid.
  r.data_floor = r.attr_floor = engine_.stage.last_seq();
  PROJFS_ASSIGN(fresh.ino, project_->next_ino(engine_.db));
  return fresh;
}

Status ProjectVolume::put_new(meta::Change& change, NewInode& fresh) const {
  PROJFS_TRY(change.put(meta::inode_key(project_->number(), fresh.ino), fresh.record.encode(), 0));
  for (const auto& [name, value] : fresh.xattrs) {
    PROJFS_TRY(change.put(meta::xattr_key(project_->number(), fresh.ino, name), value, 0));
  }
  change.count(static_cast<std::int64_t>(fresh.xattr_bytes()), 1);
  return {};
}

InodePtr ProjectVolume::adopt(NewInode fresh) const {
  auto made = std::make_shared<Inode>(project_, fresh.ino);
  made->last_seq = fresh.record.data_floor;
  made->adopt_record(std::move(fresh.record));
  made->born = made->state_epoch = project_->epochs().current;
  made->index_seq = engine_.index_sync.position();
  engine_.inodes.insert(made);
  return made;
}

Result<Attr> ProjectVolume::create(Ino parent, std::string_view name, std::uint32_t mode,
                                   std::uint64_t rdev, std::string_view target,
                                   const Caller& caller) {
  PROJFS_TRY(check_name(name));
  PROJFS_ASSIGN(const auto dir, directory(parent));
  return with_quota([&]() -> Result<Attr> {
    const std::shared_lock quiesce(project_->quiesce);
    const std::unique_lock lock(dir->mutex);
    if (dir->gone || dir->record.nlink == 0) return fail(ENOENT);
    PROJFS_ASSIGN(const auto existing, find_entry(parent, name));
    if (existing) return fail(EEXIST);
    PROJFS_ASSIGN(auto fresh, new_inode(*dir, mode, caller));
    fresh.record.parent = parent;
    fresh.record.name_hash = name_hash(name);
    fresh.record.rdev = rdev;
    fresh.record.target = target;
    if (S_ISLNK(mode)) fresh.record.size = target.size();
    PROJFS_ASSIGN(auto charged, charge(fresh.xattr_bytes(), 1));

    auto change = this->change();
    PROJFS_TRY(put_new(change, fresh));
    PROJFS_TRY(change.put(key_of_entry(parent, name), format_entry(fresh.ino, mode), 0));
    auto next = dir->record;
    ++next.entries;
    if (S_ISDIR(mode)) ++next.nlink;
    next.mtime = next.ctime = fresh.record.btime;
    PROJFS_TRY(put_record(change, *dir, next));
    engine_.answers.note(change.batch());
    PROJFS_TRY(change.commit());
    charged.keep();
    committed(engine_, *dir, std::move(next));
    return adopt(std::move(fresh))->attr();
  });
}

Result<Attr> ProjectVolume::mknod(Ino parent, std::string_view name, std::uint32_t mode,
                                  std::uint64_t rdev, const Caller& caller) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      rdev = 0;
      break;
    case S_IFCHR:
    case S_IFBLK:
      break;
    default:
      return fail(EINVAL);
  }
  return create(parent, name, mode, rdev, {}, caller);
}

Result<Attr> ProjectVolume::mkdir(Ino parent, std::string_view name, std::uint32_t mode,
                                  const Caller& caller) {
  return create(parent, name, (mode & 07777) | S_IFDIR, 0, {}, caller);
}

Result<Attr> ProjectVolume::symlink(Ino parent, std::string_view name, std::string_view target,
                                    const Caller& caller) {
  if (target.empty()) return fail(ENOENT);
  if (target.size() >= 4096) return fail(ENAMETOOLONG);
  return create(parent, name, S_IFLNK | 0777, 0, target, caller);
}

Result<std::string> ProjectVolume::readlink(Ino ino) {
  PROJFS_ASSIGN(const auto link, inode(ino));
  if (!S_ISLNK(link->record.mode)) return fail(EINVAL);
  return link->record.target;  // never changes
}

Result<Attr> ProjectVolume::tmpfile(Ino parent, std::uint32_t mode, const Caller& caller) {
  PROJFS_ASSIGN(const auto dir, directory(parent));
  return with_quota([&]() -> Result<Attr> {
    const std::shared_lock quiesce(project_->quiesce);
    const std::shared_lock lock(dir->mutex);
    if (dir->gone || dir->record.nlink == 0) return fail(ENOENT);
    PROJFS_ASSIGN(auto fresh, new_inode(*dir, (mode & 07777) | S_IFREG, caller));
    fresh.record.nlink = 0;
    PROJFS_ASSIGN(auto charged, charge(fresh.xattr_bytes(), 1));
    auto change = this->change();
    PROJFS_TRY(put_new(change, fresh));
    PROJFS_TRY(change.put(meta::orphan_key(project_->number(), fresh.ino), {}, 0));
    engine_.answers.note(change.batch(), fresh.ino);
    PROJFS_TRY(change.commit());
    charged.keep();
    project_->add_orphan(fresh.ino);
    return adopt(std::move(fresh))->attr();
  });
}

Result<Attr> ProjectVolume::link(Ino ino, Ino new_parent, std::string_view new_name) {
  PROJFS_TRY(check_name(new_name));
  PROJFS_ASSIGN(const auto dir, directory(new_parent));
  PROJFS_ASSIGN(const auto target, inode(ino));
  if (S_ISDIR(target->record.mode)) return fail(EPERM);
  if (!engine_.space.has_room(kBlock)) return out_of_space();
  const std::shared_lock quiesce(project_->quiesce);
  const InodeLocks locks({dir, target});
  if (dir->gone || dir->record.nlink == 0 || target->gone) return fail(ENOENT);
  PROJFS_ASSIGN(const auto existing, find_entry(new_parent, new_name));
  if (existing) return fail(EEXIST);
  if (target->record.nlink >= UINT32_MAX - 1) return fail(EMLINK);

  auto change = this->change();
  auto next_dir = dir->record;
  auto next = target->record;
  ++next_dir.entries;
  next_dir.mtime = next_dir.ctime = next.ctime = now();
  const bool was_orphan = next.nlink == 0;
  PROJFS_TRY(note_name(change, ino, next, {new_parent, name_hash(new_name)}));
  ++next.nlink;
  PROJFS_TRY(change.put(key_of_entry(new_parent, new_name), format_entry(ino, next.mode), 0));
  PROJFS_TRY(put_record(change, *dir, next_dir));
  PROJFS_TRY(put_record(change, *target, next));
  if (was_orphan) PROJFS_TRY(change.remove(meta::orphan_key(project_->number(), ino)));
  engine_.answers.note(change.batch());
  PROJFS_TRY(change.commit());
  if (was_orphan) project_->remove_orphan(ino);
  committed(engine_, *dir, std::move(next_dir));
  committed(engine_, *target, std::move(next));
  return target->attr();
}

Status ProjectVolume::unlink(Ino parent, std::string_view name) {
  return remove(parent, name, false);
}
Status ProjectVolume::rmdir(Ino parent, std::string_view name) {
  return remove(parent, name, true);
}

Status ProjectVolume::remove(Ino parent, std::string_view name, bool want_directory) {
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  PROJFS_ASSIGN(const auto dir, directory(parent));
  Ino orphaned = 0;
  InodePtr expected;
  while (true) {
    const std::shared_lock quiesce(project_->quiesce);
    InodeLocks locks({dir, expected});
    PROJFS_ASSIGN(const auto entry, find_entry(parent, name));
    if (!entry) return fail(ENOENT);
    PROJFS_ASSIGN(const auto target, inode(entry->ino));
    if (!locks.add(target)) {
      expected = target;
      continue;
    }

    const bool is_directory = S_ISDIR(target->record.mode);
    if (want_directory && !is_directory) return fail(ENOTDIR);
    if (!want_directory && is_directory) return fail(EISDIR);
    if (is_directory && target->record.entries != 0) return fail(ENOTEMPTY);

    auto change = this->change();
    auto next_dir = dir->record;
    auto next = target->record;
    PROJFS_TRY(change.remove(key_of_entry(parent, name), entry->born));
    --next_dir.entries;
    if (is_directory) --next_dir.nlink;
    next_dir.mtime = next_dir.ctime = next.ctime = now();
    PROJFS_TRY(drop_link(change, *target, next, {parent, name_hash(name)}));
    PROJFS_TRY(put_record(change, *dir, next_dir));
    PROJFS_TRY(put_record(change, *target, next));
    engine_.answers.note(change.batch());
    PROJFS_TRY(change.commit());
    committed(engine_, *dir, std::move(next_dir));
    committed(engine_, *target, std::move(next));
    if (target->record.nlink == 0) {
      project_->add_orphan(target->ino);
      orphaned = target->ino;
    }
    break;
  }
  if (orphaned != 0 && kernel_ == nullptr) return reclaim(orphaned);
  return {};
}

// Before the link is counted.
Status ProjectVolume::note_name(meta::Change& change, Ino ino, InodeRecord& next,
                                Place place) const {
  if (next.nlink == 0) {
    next.flags &= ~static_cast<std::uint32_t>(InodeRecord::kManyNames);
    next.parent = place.dir;
    next.name_hash = place.hash;
    return {};
  }
  const auto put = [&](Place at) -> Status {
    PROJFS_TRY(change.put(meta::name_key(project_->number(), ino, at.dir, at.hash), {}));
    return {};
  };
  if ((next.flags & InodeRecord::kManyNames) == 0) PROJFS_TRY(put({next.parent, next.name_hash}));
  next.flags |= InodeRecord::kManyNames;
  return put(place);
}

Status ProjectVolume::move_name(meta::Change& change, Ino ino, InodeRecord& next, Place from,
                                Place to) const {
  if ((next.flags & InodeRecord::kManyNames) == 0) {
    next.parent = to.dir;
    next.name_hash = to.hash;
    return {};
  }
  PROJFS_TRY(change.remove(meta::name_key(project_->number(), ino, from.dir, from.hash)));
  PROJFS_TRY(change.put(meta::name_key(project_->number(), ino, to.dir, to.hash), {}));
  return {};
}

Status ProjectVolume::drop_link(meta::Change& change, const Inode& inode, InodeRecord& next,
                                Place place) const {
  if ((next.flags & InodeRecord::kManyNames) != 0)
    PROJFS_TRY(change.remove(meta::name_key(project_->number(), inode.ino, place.dir, place.hash)));
  next.nlink = S_ISDIR(next.mode) ? 0 : next.nlink - 1;
  if (next.nlink == 0)
    PROJFS_TRY(change.put(meta::orphan_key(project_->number(), inode.ino), {}, 0));
  return {};
}

}  // namespace projfs::fs
