// SPDX-License-Identifier: MIT
//
// Writes a file's new extents to the index, with the chunk references they add and drop, the inode
// record and the project's counters: one batch.
#pragma once

#include "fs/engine.h"
#include "fs/file_map.h"
#include "meta/change.h"

namespace projfs::fs {

// [begin, end) becomes this. kHole, kZero, kPrealloc or kChunk.
struct NewExtent {
  std::uint64_t begin = 0, end = 0;
  PieceKind kind = PieceKind::kHole;
  ChunkNo chunk = 0;
  std::uint32_t chunk_offset = 0;
};

// The inode's data state that the extents amount to.
struct CapturedState {
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;
  bool sparse = false;
  StageSeq seq = 0;       // the last staged record in it
  meta::Epoch epoch = 0;  // the epoch it belongs to
};

// REQUIRES: inode.mutex held alone, the project's quiesce and history_gate shared; chunks are
// finished. Later
// extents in `extents` win over earlier ones. On error nothing changed. `copied`: it is what the
// thread's request asks for, and this is the answer.
Status commit_extents(const Engine& engine, Inode& inode, const CapturedState& state,
                      std::span<const NewExtent> extents,
                      std::optional<std::uint64_t> copied = std::nullopt);

// Puts the inode's record, as `next`, into the change, which is one of the current epoch. After a
// successful commit the caller assigns `next` to inode.record and calls committed().
Status put_record(meta::Change& change, Inode& inode, meta::InodeRecord& next);
void committed(const Engine& engine, Inode& inode, meta::InodeRecord next);

// The map segment `key` changes from `before`, born in `born` (0: there was none), to `after`
// (empty: none). Puts that into `change`, with what it means for references and the use of history.
// REQUIRES: the project's history_gate is held shared until the commit; afterwards
// settle_history().
Status change_segment(const Engine& engine, const Project& project, meta::Change& change,
                      std::string_view key, const meta::ExtentList& before, meta::Epoch born,
                      const meta::ExtentList& after);
void settle_history(Project& project, meta::Change& change);

// Adds to `change` what the difference of two versions of a segment means for references.
// `kept`: a snapshot still sees the old version, so its references stay.
void count_references(const Engine& engine, meta::Change& change, const meta::ExtentList& before,
                      const meta::ExtentList& after, bool kept);

}  // namespace projfs::fs
