// SPDX-License-Identifier: MIT
#include <linux/fs.h>
#include <sys/stat.h>

#include "fs/locking.h"
#include "fs/project_volume.h"

namespace projfs::fs {

// REQUIRES: rename_mutex, so that no directory changes its parent meanwhile.
Result<bool> ProjectVolume::is_within(Ino dir, Ino ancestor) const {
  for (Ino at = dir; at != kRootIno;) {
    if (at == ancestor) return true;
    PROJFS_ASSIGN(const auto here, inode(at));
    const std::shared_lock lock(here->mutex);
    at = here->record.parent;
    if (at == 0) return false;  // removed meanwhile
  }
  return ancestor == kRootIno;
}

// What a name stands for; a null inode: there is no such name.
Result<ProjectVolume::Named> ProjectVolume::named(Ino dir, std::string_view name) const {
  PROJFS_ASSIGN(const auto entry, find_entry(dir, name));
  if (!entry) return Named{};
  PROJFS_ASSIGN(auto found, inode(entry->ino));
  return Named{std::move(found), entry->born};
}

Status ProjectVolume::rename(Ino parent, std::string_view name, Ino new_parent,
                             std::string_view new_name, unsigned flags) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
      flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
    return fail(EINVAL);
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  PROJFS_TRY(check_name(name));
  PROJFS_TRY(check_name(new_name));
  PROJFS_ASSIGN(const auto from, directory(parent));
  PROJFS_ASSIGN(const auto to, directory(new_parent));
  std::unique_lock<std::mutex> tree;
  if (parent != new_parent) tree = std::unique_lock(project_->rename_mutex);

  Ino orphaned = 0;
  InodePtr expected_source, expected_target;
  while (true) {
    if (parent != new_parent) {
      // Whether a directory would come to lie within itself is found out before any inode is
      // locked; rename_mutex keeps the answer true.
      PROJFS_ASSIGN(auto source, named(parent, name));
      PROJFS_ASSIGN(auto target, named(new_parent, new_name));
      expected_source = std::move(source.inode);
      expected_target = std::move(target.inode);
      if (expected_source && S_ISDIR(expected_source->record.mode)) {
        PROJFS_ASSIGN(const bool loop, is_within(new_parent, expected_source->ino));
        if (loop) return fail(EINVAL);
      }
      if (exchange && expected_target && S_ISDIR(expected_target->record.mode)) {
        PROJFS_ASSIGN(const bool loop, is_within(parent, expected_target->ino));
        if (loop) return fail(EINVAL);
      }
    }
    const std::shared_lock quiesce(project_->quiesce);
    InodeLocks locks({from, to, expected_source, expected_target});
    PROJFS_ASSIGN(const auto source_entry, named(parent, name));
    PROJFS_ASSIGN(const auto target_entry, named(new_parent, new_name));
    const auto& source = source_entry.inode;
    const auto& target = target_entry.inode;
    if (!source) return fail(ENOENT);
    if (target && (flags & RENAME_NOREPLACE) != 0) return fail(EEXIST);
    if (!target && exchange) return fail(ENOENT);
    if (parent != new_parent && (source != expected_source || target != expected_target)) continue;
    if (!locks.add(source) || !locks.add(target)) {
      expected_source = source;
      expected_target = target;
      continue;
    }
    if (to->gone || to->record.nlink == 0) return fail(ENOENT);
    if (target == source) return {};  // two names of one file: both stay

    const bool source_is_dir = S_ISDIR(source->record.mode);
    const bool target_is_dir = target && S_ISDIR(target->record.mode);
    if (target && !exchange) {
      if (source_is_dir && !target_is_dir) return fail(ENOTDIR);
      if (!source_is_dir && target_is_dir) return fail(EISDIR);
      if (target_is_dir && target->record.entries != 0) return fail(ENOTEMPTY);
    }

    auto change = this->change();
    auto next_from = from->record;
    auto next_to = to->record;
    auto& to_record = from == to ? next_from : next_to;
    auto next_source = source->record;
    std::optional<meta::InodeRecord> next_target;
    if (target) next_target = target->record;
    const auto time = now();
    next_from.mtime = next_from.ctime = time;
    to_record.mtime = to_record.ctime = time;
    next_source.ctime = time;
    if (next_target) next_target->ctime = time;

    const Place here{parent, name_hash(name)}, there{new_parent, name_hash(new_name)};
    const auto source_key = key_of_entry(parent, name);
    PROJFS_TRY(change.put(key_of_entry(new_parent, new_name),
                          format_entry(source->ino, source->record.mode), target_entry.born));
    if (exchange) {
      PROJFS_TRY(change.put(source_key, format_entry(target->ino, target->record.mode),
                            source_entry.born));
      if (source_is_dir && !target_is_dir) --next_from.nlink, ++to_record.nlink;
      if (!source_is_dir && target_is_dir) ++next_from.nlink, --to_record.nlink;
      PROJFS_TRY(move_name(change, target->ino, *next_target, there, here));
    } else {
      PROJFS_TRY(change.remove(source_key, source_entry.born));
      --next_from.entries;
      if (!target) ++to_record.entries;
      if (source_is_dir) {
        --next_from.nlink;
        if (!target) ++to_record.nlink;
      }
      if (target) PROJFS_TRY(drop_link(change, *target, *next_target, there));
    }
    PROJFS_TRY(move_name(change, source->ino, next_source, here, there));

    PROJFS_TRY(put_record(change, *from, next_from));
    if (from != to) PROJFS_TRY(put_record(change, *to, next_to));
    PROJFS_TRY(put_record(change, *source, next_source));
    if (target) PROJFS_TRY(put_record(change, *target, *next_target));
    PROJFS_TRY(change.commit());
    committed(engine_, *from, std::move(next_from));
    if (from != to) committed(engine_, *to, std::move(next_to));
    committed(engine_, *source, std::move(next_source));
    if (target) {
      committed(engine_, *target, std::move(*next_target));
      if (target->record.nlink == 0) {
        project_->add_orphan(target->ino);
        orphaned = target->ino;
      }
    }
    break;
  }
  if (orphaned != 0 && kernel_ == nullptr) return reclaim(orphaned);
  return {};
}

}  // namespace projfs::fs
