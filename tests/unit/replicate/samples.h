// SPDX-License-Identifier: MIT
//
// One message of each kind, with every field set, by name. vectors.inc has their frames.
#pragma once

#include <utility>
#include <vector>

#include "replicate/frame.h"

namespace projfs::replicate {

inline ChunkHash sample_hash(std::uint8_t first) {
  ChunkHash h;
  for (std::size_t i = 0; i < h.bytes.size(); ++i)
    h.bytes[i] = static_cast<std::uint8_t>(first + i);
  return h;
}

inline std::vector<std::pair<const char*, Frame>> samples() {
  Begin begin;
  begin.id = "demo";
  begin.created_ns = 1'700'000'000'000'000'001;
  begin.generation = 3;
  begin.uid = 1000;
  begin.gid = 1001;
  begin.quota_bytes = 10ull << 30;
  begin.quota_inodes = UINT64_MAX;
  begin.quota_history = 0;
  begin.dedup = 1;
  begin.dedup_key = "0123456789abcdef0123456789abcdef";
  begin.name_seed = 0x0123456789abcdef;
  begin.next_ino = 2049;
  begin.next_snapshot = 18;
  begin.policy = std::string("\x01\x00\x84\x07", 4);

  Want want;
  for (int i = 0; i < 11; ++i) want.wanted.push_back(i % 3 == 0);

  Chunks chunks;
  chunks.block = {1, 300, "payload", {{0, 0, 100}, {4, 120, 180}}};

  Batch batch;
  batch.epoch = 41;
  batch.cursor = "up to here";
  batch.exhaustive = true;
  batch.after = "from here";
  batch.records = {{std::string("\0\0\0\0\0\0\0\x05i", 9), "value"},
                   {std::string("\0\0\0\0\0\0\0\x05xuser.a\0", 16), ""},
                   {std::string("\0\0\0\0\0\0\0\x06i", 9), std::nullopt}};

  SnapshotEntries entries;
  entries.entries = {{40, true, "before the change", 17, true, true, -5, 4096},
                     {12, false, "", 0, false, false, 0, 0}};

  return {
      {"hello",
       {0, Hello{1, 1, "11111111-2222-3333-4444-555555555555", "hosta",
                 "66666666-7777-8888-9999-aaaaaaaaaaaa", "projfs 0.1.0"}}},
      {"refusal", {9, Refusal{28, "the store's disk is full"}}},
      {"begin", {9, begin}},
      {"position", {9, Position{3, 39, 40, 41, "cursor"}}},
      {"offer", {9, Offer{{{sample_hash(1), 8192, false}, {sample_hash(100), 77, true}}}}},
      {"want", {9, want}},
      {"chunks", {9, chunks}},
      {"batch", {9, batch}},
      {"applied", {9, Applied{41, "up to here"}}},
      {"end of step", {9, EndStep{41, 1'700'000'000'123'456'789, 1 << 20}}},
      {"snapshots", {9, entries}},
      {"commit", {9, Commit{42, true}}},
      {"saved", {0xfffffffe, Saved{42}}},
      {"alive", {0, Alive{}}},
  };
}

}  // namespace projfs::replicate
