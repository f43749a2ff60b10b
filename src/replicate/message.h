// SPDX-License-Identifier: MIT
//
// What two hosts tell each other about a project. docs/wire.md has the bytes.
//
// A round brings a replica from the epoch it has to a newer one, in steps: one for each snapshot
// between, and one for the round's own boundary. A step is sent in batches of records in the order
// of their keys, each with the chunks that its records name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "projfs/chunk_store.h"

namespace projfs::replicate {

// What a chunk is called outside of its store.
struct ChunkName {
  ChunkHash hash;
  std::uint32_t length = 0;
  bool keyed = false;  // the hash is an HMAC
  friend bool operator==(const ChunkName&, const ChunkName&) = default;
};

// Chunks on their way to another store, compressed together.
struct ChunkBlock {
  struct Part {
    std::uint32_t index = 0;               // which chunk, in a list that both sides have
    std::uint32_t offset = 0, length = 0;  // before compression
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::uint8_t codec = 0;  // of the payload, numbered as in blocks of a pack
  std::uint32_t raw = 0;   // length before compression
  std::string payload;
  std::vector<Part> parts;  // by offset, disjoint; together they need not fill the block
  friend bool operator==(const ChunkBlock&, const ChunkBlock&) = default;
};

inline constexpr std::uint32_t kOldestVersion = 1, kNewestVersion = 1;

// Limits of what is put into one message, and of what a decoder accepts.
inline constexpr std::size_t kMostChunks = 1 << 18;     // in a batch
inline constexpr std::size_t kMostRecords = 1 << 13;    // in a batch
inline constexpr std::size_t kMostSnapshots = 1 << 13;  // in a message
inline constexpr std::size_t kMostText = 1 << 10;       // of a name, an id, a sentence

// Every other message comes after this, from both sides.
struct Hello {
  std::uint32_t oldest = kOldestVersion, newest = kNewestVersion;  // versions understood
  std::string cluster, host, store;                                // UUID, name, UUID
  std::string software;
  friend bool operator==(const Hello&, const Hello&) = default;
};

// Instead of whatever was asked for.
struct Refusal {
  std::uint32_t code = 0;  // an errno
  std::string why;         // a sentence
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// The project as its primary has it, and the question what the replica has.
struct Begin {
  std::string id;
  std::int64_t created_ns = 0;
  std::uint64_t generation = 1;
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t quota_bytes = 0, quota_inodes = 0, quota_history = 0;  // 2^64-1: none
  std::uint8_t dedup = 0;                                              // as in the project's record
  std::string dedup_key;
  std::uint64_t name_seed = 0;
  std::uint64_t next_ino = 0;       // inode numbers below this may be in use
  std::uint64_t next_snapshot = 0;  // snapshot numbers likewise
  std::string policy;               // of snapshots, as it is stored; empty: the default
  friend bool operator==(const Begin&, const Begin&) = default;
};

// The answer.
struct Position {
  std::uint64_t generation = 0;
  std::uint64_t visible = 0;  // the epoch that its readers see; 0: none yet
  std::uint64_t applied = 0;  // whole steps it has
  std::uint64_t step = 0;     // the epoch of a step it has in part; 0: none
  std::string cursor;         // up to here, as the batch said
  friend bool operator==(const Position&, const Position&) = default;
};

// The chunks that the next batch's records name, in the order in which they count them.
struct Offer {
  std::vector<ChunkName> chunks;
  friend bool operator==(const Offer&, const Offer&) = default;
};
// The answer: which of them are to be sent.
struct Want {
  std::vector<bool> wanted;
  friend bool operator==(const Want&, const Want&) = default;
};
// Some of those wanted; ChunkBlock::Part::index counts in the offer.
struct Chunks {
  ChunkBlock block;
  friend bool operator==(const Chunks&, const Chunks&) = default;
};

struct Record {
  std::string key;                   // as in the index, without the project
  std::optional<std::string> value;  // nullopt: there is no such record (any more)
  friend bool operator==(const Record&, const Record&) = default;
};
// Records of one step, in the order of their keys; each key once.
struct Batch {
  std::uint64_t epoch = 0;  // of the step
  std::string cursor;       // the step is complete up to here; empty: it is complete
  // The records are all there are with keys above `after` and up to the last one here (in the last
  // batch: up to the end), so whatever else the replica has there is to go.
  bool exhaustive = false;
  std::string after;
  std::vector<Record> records;
  friend bool operator==(const Batch&, const Batch&) = default;
};
// The batch is committed.
struct Applied {
  std::uint64_t epoch = 0;
  std::string cursor;
  friend bool operator==(const Applied&, const Applied&) = default;
};

// The step is complete, and is the state at the end of this epoch.
struct EndStep {
  std::uint64_t epoch = 0;
  std::int64_t created_ns = 0;
  std::uint64_t logical_bytes = 0;
  friend bool operator==(const EndStep&, const EndStep&) = default;
};

// A snapshot that is new, or that has changed.
struct SnapshotEntry {
  std::uint64_t epoch = 0;
  bool present = true;  // false: deleted; what follows is empty
  std::string name;
  std::uint64_t number = 0;
  bool held = false, automatic = false;
  std::int64_t created_ns = 0;
  std::uint64_t logical_bytes = 0;
  friend bool operator==(const SnapshotEntry&, const SnapshotEntry&) = default;
};
struct SnapshotEntries {
  std::vector<SnapshotEntry> entries;
  friend bool operator==(const SnapshotEntries&, const SnapshotEntries&) = default;
};

// All steps are there: the epoch becomes what readers see, with these snapshots, at once.
struct Commit {
  std::uint64_t epoch = 0;
  bool all = false;  // the snapshots sent before are all there are
  friend bool operator==(const Commit&, const Commit&) = default;
};
// The epoch is visible, and will be after a power loss.
struct Saved {
  std::uint64_t epoch = 0;
  friend bool operator==(const Saved&, const Saved&) = default;
};

// Nothing to say; the other side is to know that this one is there.
struct Alive {
  friend bool operator==(const Alive&, const Alive&) = default;
};

using Message = std::variant<Hello, Refusal, Begin, Position, Offer, Want, Chunks, Batch, Applied,
                             EndStep, SnapshotEntries, Commit, Saved, Alive>;

// The number of a message on the wire, and what its body may have at the most.
[[nodiscard]] std::uint8_t type_of(const Message& message);
// 0: there is no such type.
[[nodiscard]] std::uint32_t most_bytes(std::uint8_t type);

[[nodiscard]] std::string encode(const Message& message);
// EBADMSG: malformed, or beyond a limit. Memory is in proportion to the body.
[[nodiscard]] Result<Message> decode(std::uint8_t type, std::string_view body);

}  // namespace projfs::replicate
