// SPDX-License-Identifier: MIT
//
// What a staged record does to an inode. Used when the record is made and again when it is replayed
// after a crash, so that both come to the same state.
//
// REQUIRES everywhere: the inode's mutex is held alone.
#pragma once

#include "fs/engine.h"

namespace projfs::fs {

// StageRecord::flags as this layer uses them.
inline constexpr std::uint8_t kKeepSize = 1;
inline constexpr std::uint8_t kDropSetId = 2;

// The state after a record, worked out before it is acknowledged.
struct DataEffect {
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;
  bool sparse = false;
};

Result<DataEffect> effect_of(const Engine& engine, const Inode& inode, const StageRecord& record);

// Applies a record that is in the stage: content, size, allocation, and (unless its sequence number
// is at or below the record's attr_floor) times and set-id bits. `refs`: one for each part of the
// data.
Status apply(const Engine& engine, Inode& inode, const StageRecord& record,
             const DataEffect& effect, std::span<const StageRef> refs);

// The index says what the inode's records up to `through` said, or the inode is gone: gives them
// back to the stage. Returns the bytes of data that were in them.
std::uint64_t release_staged(const Engine& engine, Inode& inode, StageSeq through);

// The mode after a write or truncate that must drop set-id bits.
[[nodiscard]] std::uint32_t without_set_id(std::uint32_t mode);

}  // namespace projfs::fs
