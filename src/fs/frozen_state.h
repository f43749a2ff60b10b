// SPDX-License-Identifier: MIT
//
// Staged data at the boundary of an epoch. Closing an epoch touches no inode: an inode with staged
// data knows to which epoch its state belongs, and the first change in a later epoch first freezes
// that state. Ingestion commits frozen states, oldest first, each into its own epoch, and the
// present one after them. Until then a snapshot reads them from here.
//
// REQUIRES everywhere: the inode's mutex is held (alone where the inode is not const).
#pragma once

#include <optional>
#include <vector>

#include "fs/inode.h"
#include "meta/change.h"

namespace projfs::fs {

void freeze(Inode& inode, meta::Epoch current);

// A change of the inode in epoch `current` is about to happen.
inline void enter_epoch(Inode& inode, meta::Epoch current) {
  if (inode.state_epoch == current) [[likely]]
    return;
  if (!inode.staged.empty()) freeze(inode, current);
  inode.state_epoch = current;
}

// What the inode's record is at the end of a frozen epoch once its data is in the index.
[[nodiscard]] meta::InodeRecord record_of(const FrozenState& state);
// The frozen states that the index's record of the inode knows nothing of.
[[nodiscard]] std::vector<meta::PastVersion> past_records(const Inode& inode);

// An inode as of an epoch, where that differs from what the index says.
struct StateView {
  // Null: times, mode, owner and so on, also size and allocation, are in the index for this epoch.
  std::optional<Attr> attr;
  std::uint64_t size = 0;
  const Overlay* overlay = nullptr;  // over the extents of the *head* in the index
};
// nullopt: nothing is staged that concerns this epoch.
[[nodiscard]] std::optional<StateView> state_at(const Inode& inode, meta::Epoch epoch);

}  // namespace projfs::fs
