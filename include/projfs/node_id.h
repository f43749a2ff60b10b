// SPDX-License-Identifier: MIT
//
// How one 64-bit number names an inode of a project's head, an inode inside a snapshot, and the
// directory `.snapshots` of any directory. Nothing is ever allocated or remembered, so a number
// that a kernel holds means the same after a restart of the daemon.
//
//   bit 63      the directory `.snapshots` of the directory that the rest names
//   bit 62      reached through a directory's own `.snapshots`, not through that of the root. A
//               kernel knows a directory by one path only: without this bit, looking at
//               sub/.snapshots/A would move .snapshots/A/sub there, under somebody who walks it.
//   bits 40-61  number of the snapshot; 0: the head
//   bits 0-39   inode, the same in the head and in every snapshot
#pragma once

#include <cstdint>
#include <string_view>

#include "projfs/volume.h"

namespace projfs {

inline constexpr std::string_view kSnapshotsName = ".snapshots";
inline constexpr unsigned kInodeBits = 40;
inline constexpr Ino kMaxInode = (Ino{1} << kInodeBits) - 1;
inline constexpr std::uint64_t kMaxSnapshotNumber = (std::uint64_t{1} << 22) - 1;

struct NodeId {
  static constexpr Ino kDirectoryBit = Ino{1} << 63;
  static constexpr Ino kAsideBit = Ino{1} << 62;

  [[nodiscard]] static constexpr bool is_head(Ino node) { return node <= kMaxInode; }
  // `.snapshots` itself: what it lists changes without the kernel's doing.
  [[nodiscard]] static constexpr bool is_snapshots_directory(Ino node) {
    return (node & kDirectoryBit) != 0;
  }
  [[nodiscard]] static constexpr Ino snapshots_directory_of(Ino directory) {
    return directory | kDirectoryBit;
  }
  [[nodiscard]] static constexpr Ino inode(Ino node) { return node & kMaxInode; }
  [[nodiscard]] static constexpr std::uint64_t snapshot(Ino node) {
    return (node >> kInodeBits) & kMaxSnapshotNumber;
  }
  // The bits that say which view of the project a node belongs to: equal for all nodes of a view.
  [[nodiscard]] static constexpr Ino view(Ino node) { return node & ~kMaxInode & ~kDirectoryBit; }
  [[nodiscard]] static constexpr Ino view_of(std::uint64_t snapshot, bool aside) {
    return snapshot << kInodeBits | (aside ? kAsideBit : 0);
  }
};

}  // namespace projfs
