// SPDX-License-Identifier: MIT
//
// An inode in memory. The object lives as long as the cache keeps it or somebody holds it; the
// inode number lives for ever. While an object exists it is the truth; the index may lag behind it
// by what is staged.
//
// Lock order (each may be skipped): Project::rename_mutex, Inode::ingest_mutex, Project::quiesce
// (shared), Project::history_gate (shared), Inode::mutex of several inodes in ascending inode
// number, Project::orphan_mutex.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "fs/overlay.h"
#include "meta/inode_record.h"
#include "meta/keys.h"

namespace projfs::fs {

class Project;

// A record's attributes; size and allocation are those of the record.
[[nodiscard]] inline Attr attr_of(Ino ino, const meta::InodeRecord& r) {
  Attr a;
  a.ino = ino;
  a.mode = r.mode;
  a.nlink = r.nlink;
  a.uid = r.uid;
  a.gid = r.gid;
  a.rdev = r.rdev;
  a.size = r.size;
  a.allocated = r.allocated;
  a.atime = r.atime;
  a.mtime = r.mtime;
  a.ctime = r.ctime;
  a.btime = r.btime;
  return a;
}

// An inode with staged data as it was at the end of a closed epoch (frozen_state.h).
struct FrozenState {
  meta::Epoch epoch = 0;
  meta::InodeRecord record;
  std::uint64_t size = 0, allocated = 0;
  bool sparse = false;
  Overlay overlay;
  StageSeq seq = 0;  // the last staged record in it
};

struct Inode {
  Inode(std::shared_ptr<Project> p, Ino i) : project(std::move(p)), ino(i) {}

  const std::shared_ptr<Project> project;
  const Ino ino;

  // Held while the inode is being ingested, so that it is ingested once at a time and the extents
  // in the index change only under it (or when the inode goes away).
  std::mutex ingest_mutex;

  mutable std::shared_mutex mutex;
  // --- guarded by mutex ---
  // Times, mode, owner, links, flags but kSparse: as they are. size, allocated, data_floor and
  // kSparse: as in the index; the present ones are below.
  meta::InodeRecord record;
  meta::Epoch born = 0;  // epoch of the record in the index
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;
  bool sparse = false;
  bool ingesting = false;  // extents captured, not yet committed
  bool gone = false;       // its records are removed
  Overlay overlay;
  std::vector<StageRef> staged;  // every record not yet released, oldest first
  StageSeq last_seq = 0;
  meta::Epoch state_epoch = 0;      // the epoch of the newest change of all this
  std::vector<FrozenState> frozen;  // of earlier epochs, to be ingested first; oldest first

  // --- not guarded ---
  std::atomic<std::int64_t> last_write_ns{0};  // steady clock
  std::atomic<std::uint64_t> staged_bytes{0};  // data in `staged`
  std::atomic<bool> queued{false};             // in the ingester's queue
  std::atomic<bool> overdue{false};            // has frozen states: ingest without waiting
  std::atomic<std::uint64_t> index_seq{0};     // index sequence number after its newest change

  // Call after loading or replacing `record` when nothing is staged.
  void adopt_record(meta::InodeRecord r) {
    record = std::move(r);
    size = record.size;
    allocated = record.allocated;
    sparse = (record.flags & meta::InodeRecord::kSparse) != 0;
  }
  [[nodiscard]] Attr attr() const {
    Attr a = attr_of(ino, record);
    a.size = size;
    a.allocated = allocated;
    return a;
  }
};
using InodePtr = std::shared_ptr<Inode>;

}  // namespace projfs::fs
