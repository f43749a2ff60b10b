// SPDX-License-Identifier: MIT
//
// Extended attributes and ACLs. Limits are Linux's (limits.h): names of 255 bytes, values and the
// list of names of 64 KiB. Names and values count against the byte quota.
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/project_volume.h"
#include "meta/cursor.h"

namespace projfs::fs {
namespace {

using meta::InodeRecord;

constexpr std::string_view kCapabilityName = "security.capability";

bool known_namespace(std::string_view name) {
  for (const std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix) && name.size() > prefix.size()) return true;
  }
  return name == kAccessAclName || name == kDefaultAclName;
}

std::uint32_t flag_of(std::string_view name) {
  if (name == kAccessAclName) return InodeRecord::kAccessAcl;
  if (name == kDefaultAclName) return InodeRecord::kDefaultAcl;
  if (name == kCapabilityName) return InodeRecord::kCapability;
  return 0;
}

}  // namespace

Result<std::string> ProjectVolume::getxattr(Ino ino, std::string_view name) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  const std::shared_lock lock(found->mutex);
  const auto flag = flag_of(name);
  if ((found->record.flags & (flag != 0 ? flag : InodeRecord::kHasXattrs)) == 0)
    return fail(known_namespace(name) ? ENODATA : EOPNOTSUPP);
  PROJFS_ASSIGN(auto live, project_->head().find(meta::xattr_key(project_->number(), ino, name)));
  if (!live) return fail(known_namespace(name) ? ENODATA : EOPNOTSUPP);
  return std::move(live->payload);
}

Result<std::vector<std::string>> ProjectVolume::listxattr(Ino ino) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  const std::shared_lock lock(found->mutex);
  return list_names(*found);
}

// REQUIRES: the inode's mutex is held.
Result<std::vector<std::string>> ProjectVolume::list_names(const Inode& inode) const {
  std::vector<std::string> names;
  if ((inode.record.flags & InodeRecord::kHasXattrs) == 0) return names;
  meta::Cursor at(project_->head(), meta::key_of(project_->number(), inode.ino, meta::Kind::kXattr),
                  meta::end_key(project_->number(), inode.ino, meta::Kind::kXattr));
  for (; at.valid(); at.next()) {
    meta::ParsedKey key;
    if (meta::parse_key(at.key(), key)) names.emplace_back(key.name());
  }
  PROJFS_TRY(at.status());
  return names;
}

Status ProjectVolume::setxattr(Ino ino, std::string_view name, std::string_view value, int flags,
                               bool kill_sgid) {
  if (name.empty() || name.size() > XATTR_NAME_MAX) return fail(ERANGE);
  if (!known_namespace(name)) return fail(EOPNOTSUPP);
  if (value.size() > XATTR_SIZE_MAX) return fail(E2BIG);
  PROJFS_ASSIGN(const auto found, inode(ino));
  return with_quota([&]() -> Status {
    const std::shared_lock quiesce(project_->quiesce);
    const std::unique_lock lock(found->mutex);
    if (found->gone) return fail(ESTALE);
    return put_xattr(*found, name, value, flags, kill_sgid);
  });
}

// REQUIRES: locked alone.
Status ProjectVolume::put_xattr(Inode& inode, std::string_view name, std::string_view value,
                                int flags, bool kill_sgid) {
  const auto key = meta::xattr_key(project_->number(), inode.ino, name);
  std::optional<meta::LiveValue> old;
  if ((inode.record.flags & InodeRecord::kHasXattrs) != 0) {
    PROJFS_ASSIGN(old, project_->head().find(key));
  }
  if (old && (flags & XATTR_CREATE) != 0) return fail(EEXIST);
  if (!old && (flags & XATTR_REPLACE) != 0) return fail(ENODATA);

  auto next = inode.record;
  std::string stored(value);
  bool keep = true;
  if (name == kAccessAclName || name == kDefaultAclName) {
    const auto acl = Acl::parse(value);
    if (!acl) return fail(EINVAL);
    if (name == kAccessAclName) {
      if (S_ISLNK(next.mode)) return fail(EOPNOTSUPP);
      next.mode = (next.mode & ~0777u) | acl->mode();
      keep = !acl->is_trivial();
    } else if (!S_ISDIR(next.mode)) {
      return fail(EACCES);
    }
    if (kill_sgid) next.mode &= ~static_cast<std::uint32_t>(S_ISGID);
  }
  if (!old && keep) {
    PROJFS_ASSIGN(const auto names, list_names(inode));
    std::size_t total = name.size() + 1;
    for (const auto& n : names) total += n.size() + 1;
    if (total > XATTR_LIST_MAX) return fail(ENOSPC, "an inode holds too many extended attributes");
  }

  const std::uint64_t before = old ? name.size() + old->payload.size() : 0;
  const std::uint64_t after = keep ? name.size() + stored.size() : 0;
  PROJFS_ASSIGN(auto charged, charge(after > before ? after - before : 0, 0));
  auto change = this->change();
  next.ctime = now();
  if (keep) {
    next.flags |= InodeRecord::kHasXattrs | flag_of(name);
    PROJFS_TRY(change.put(key, stored, old ? old->born : 0));
  } else {
    next.flags &= ~flag_of(name);
    if (old) PROJFS_TRY(change.remove(key, old->born));
  }
  PROJFS_TRY(put_record(change, inode, next));
  change.count(static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before), 0);
  engine_.answers.note(change.batch());
  PROJFS_TRY(change.commit());
  charged.keep();
  if (before > after) project_->refund(before - after, 0);
  committed(engine_, inode, std::move(next));
  return {};
}

Status ProjectVolume::removexattr(Ino ino, std::string_view name) {
  PROJFS_ASSIGN(const auto found, inode(ino));
  if (!known_namespace(name)) return fail(EOPNOTSUPP);
  const std::shared_lock quiesce(project_->quiesce);
  const std::unique_lock lock(found->mutex);
  if (found->gone) return fail(ESTALE);
  auto change = this->change();
  auto next = found->record;
  PROJFS_ASSIGN(const auto freed, take_xattr(change, *found, next, name));
  if (!freed) return fail(ENODATA);
  next.ctime = now();
  PROJFS_TRY(put_record(change, *found, next));
  change.count(-static_cast<std::int64_t>(*freed), 0);
  engine_.answers.note(change.batch());
  PROJFS_TRY(change.commit());
  project_->refund(*freed, 0);
  committed(engine_, *found, std::move(next));
  return {};
}

// Removes one attribute in `change`; the bytes that frees, or nullopt if there is none of this
// name.
Result<std::optional<std::uint64_t>> ProjectVolume::take_xattr(meta::Change& change,
                                                               const Inode& inode,
                                                               InodeRecord& next,
                                                               std::string_view name) const {
  const auto key = meta::xattr_key(project_->number(), inode.ino, name);
  PROJFS_ASSIGN(const auto old, project_->head().find(key));
  if (!old) return std::optional<std::uint64_t>();
  PROJFS_TRY(change.remove(key, old->born));
  next.flags &= ~flag_of(name);
  return std::optional<std::uint64_t>(name.size() + old->payload.size());
}

Status ProjectVolume::take_capability(meta::Change& change, const Inode& inode, InodeRecord& next,
                                      std::uint64_t& freed) const {
  PROJFS_ASSIGN(const auto bytes, take_xattr(change, inode, next, kCapabilityName));
  freed += bytes.value_or(0);
  next.flags &= ~static_cast<std::uint32_t>(InodeRecord::kCapability);
  return {};
}

Status ProjectVolume::drop_capability(Inode& inode) {
  if ((inode.record.flags & InodeRecord::kCapability) == 0) return {};
  auto change = this->change();
  auto next = inode.record;
  std::uint64_t freed = 0;
  PROJFS_TRY(take_capability(change, inode, next, freed));
  PROJFS_TRY(put_record(change, inode, next));
  change.count(-static_cast<std::int64_t>(freed), 0);
  PROJFS_TRY(change.commit());
  project_->refund(freed, 0);
  committed(engine_, inode, std::move(next));
  return {};
}

}  // namespace projfs::fs
