// SPDX-License-Identifier: MIT
//
// The inodes in memory, of all projects, bounded. An inode that somebody holds (a request, the
// ingester's queue) stays; of the others the least recently used go.
#pragma once

#include <array>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fs/inode.h"
#include "projfs/database.h"

namespace projfs::fs {

class InodeCache {
 public:
  InodeCache(Database& db, std::size_t capacity) : db_(db), capacity_(capacity / kShards + 1) {}

  // The inode, loaded if needed. ESTALE: no such inode (any more).
  Result<InodePtr> get(const std::shared_ptr<Project>& project, Ino ino);
  // The inode if it is in memory; null otherwise.
  InodePtr peek(meta::ProjectNo project, Ino ino);
  // A new inode, not in the index before. REQUIRES: its number is new.
  void insert(const InodePtr& inode);
  void forget(const InodePtr& inode);
  // All inodes of a project that are in memory.
  [[nodiscard]] std::vector<InodePtr> of_project(meta::ProjectNo project) const;
  // Removes and returns all inodes of a project.
  std::vector<InodePtr> take_project(meta::ProjectNo project);
  [[nodiscard]] std::size_t size() const;

 private:
  static constexpr std::size_t kShards = 16;
  struct Key {
    meta::ProjectNo project;
    Ino ino;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const {
      return (k.project * 0x9e3779b97f4a7c15ull) ^ (k.ino * 0xff51afd7ed558ccdull);
    }
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<InodePtr> order;  // most recently used first
    std::unordered_map<Key, std::list<InodePtr>::iterator, KeyHash> map;
    std::uint64_t evictions = 0;
  };

  Shard& shard(meta::ProjectNo project, Ino ino) {
    return shards_[(KeyHash{}({project, ino}) >> 20) % kShards];
  }
  [[nodiscard]] Result<InodePtr> load(const std::shared_ptr<Project>& project, Ino ino) const;
  InodePtr touch(Shard& s, const Key& key);
  void trim(Shard& s);

  Database& db_;
  const std::size_t capacity_;
  std::array<Shard, kShards> shards_;
};

}  // namespace projfs::fs
