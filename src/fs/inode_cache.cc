// SPDX-License-Identifier: MIT
#include "fs/inode_cache.h"

#include "fs/project.h"
#include "meta/change.h"

namespace projfs::fs {

InodePtr InodeCache::touch(Shard& s, const Key& key) {
  const auto it = s.map.find(key);
  if (it == s.map.end()) return nullptr;
  s.order.splice(s.order.begin(), s.order, it->second);
  return s.order.front();
}

void InodeCache::trim(Shard& s) {
  // Held inodes are passed over; a bounded look keeps the cost of an insertion constant.
  auto it = s.order.end();
  for (int looks = 0; s.map.size() > capacity_ && it != s.order.begin() && looks < 8; ++looks) {
    --it;
    if (it->use_count() > 1) continue;
    s.map.erase({(*it)->project->number(), (*it)->ino});
    it = s.order.erase(it);
    ++s.evictions;
  }
}

Result<InodePtr> InodeCache::load(const std::shared_ptr<Project>& project, Ino ino) const {
  PROJFS_ASSIGN(const auto live, project->head().find(meta::inode_key(project->number(), ino)));
  if (!live) return fail(ESTALE);
  auto record = meta::InodeRecord::decode(live->payload);
  if (!record) {
    return fail(EIO, "project " + project->id() + ": the record of inode " + std::to_string(ino) +
                         " does not decode");
  }
  auto inode = std::make_shared<Inode>(project, ino);
  inode->adopt_record(std::move(*record));
  inode->born = live->born;
  inode->last_seq = std::max(inode->record.data_floor, inode->record.attr_floor);
  inode->index_seq = db_.raw().GetLatestSequenceNumber();  // no older than its newest change
  return inode;
}

Result<InodePtr> InodeCache::get(const std::shared_ptr<Project>& project, Ino ino) {
  const Key key{project->number(), ino};
  Shard& s = shard(key.project, ino);
  std::uint64_t evictions = 0;
  {
    const std::lock_guard lock(s.mutex);
    if (auto found = touch(s, key)) return found;
    evictions = s.evictions;
  }
  PROJFS_ASSIGN(auto inode, load(project, ino));
  const std::lock_guard lock(s.mutex);
  if (auto found = touch(s, key)) return found;
  // Loading happened outside the lock. Only if some inode left the cache meanwhile can it have been
  // this one: loaded by another, changed, and let go of since we read its record.
  if (evictions != s.evictions) {
    PROJFS_ASSIGN(inode, load(project, ino));
  }
  s.order.push_front(inode);
  s.map.emplace(key, s.order.begin());
  trim(s);
  return inode;
}

InodePtr InodeCache::peek(meta::ProjectNo project, Ino ino) {
  Shard& s = shard(project, ino);
  const std::lock_guard lock(s.mutex);
  const auto it = s.map.find({project, ino});
  return it == s.map.end() ? nullptr : *it->second;
}

void InodeCache::insert(const InodePtr& inode) {
  const Key key{inode->project->number(), inode->ino};
  Shard& s = shard(key.project, key.ino);
  const std::lock_guard lock(s.mutex);
  s.order.push_front(inode);
  s.map.insert_or_assign(key, s.order.begin());
  trim(s);
}

void InodeCache::forget(const InodePtr& inode) {
  const Key key{inode->project->number(), inode->ino};
  Shard& s = shard(key.project, key.ino);
  const std::lock_guard lock(s.mutex);
  const auto it = s.map.find(key);
  if (it == s.map.end()) return;
  s.order.erase(it->second);
  s.map.erase(it);
  ++s.evictions;
}

std::vector<InodePtr> InodeCache::of_project(meta::ProjectNo project) const {
  std::vector<InodePtr> found;
  for (const auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    for (const auto& inode : s.order) {
      if (inode->project->number() == project) found.push_back(inode);
    }
  }
  return found;
}

std::vector<InodePtr> InodeCache::take_project(meta::ProjectNo project) {
  std::vector<InodePtr> taken;
  for (auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    for (auto it = s.order.begin(); it != s.order.end();) {
      if ((*it)->project->number() == project) {
        s.map.erase({project, (*it)->ino});
        taken.push_back(std::move(*it));
        it = s.order.erase(it);
        ++s.evictions;
      } else {
        ++it;
      }
    }
  }
  return taken;
}

std::size_t InodeCache::size() const {
  std::size_t total = 0;
  for (const auto& s : shards_) {
    const std::lock_guard lock(s.mutex);
    total += s.map.size();
  }
  return total;
}

}  // namespace projfs::fs
