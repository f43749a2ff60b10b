// SPDX-License-Identifier: MIT
//
// The snapshots of one project. A snapshot holds exactly the operations acknowledged before it was
// made: names, attributes and data, also what was still staged. Files that were unlinked but open
// are in none.
//
// Errors: names unknown ENOENT; taken EEXIST; empty, ".", "..", with '/' or NUL EINVAL; longer than
// kMaxName ENAMETOOLONG. Every one comes with a sentence. On error nothing changed.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs {

struct SnapshotInfo {
  std::string name;
  std::int64_t created_ns = 0;
  std::uint64_t epoch = 0;
  // 1, 2, 3, … in the order in which the project's snapshots were made; never used again. What the
  // high bits of a FUSE node id hold.
  std::uint64_t number = 0;
  bool held = false;                // not deleted before it is released
  bool automatic = false;           // made by the policy
  std::uint64_t logical_bytes = 0;  // in use in the project when it was made
  // By how much the project's history use would fall were it deleted: exact, but while others that
  // were deleted are still being removed. Data that several snapshots share is in none of theirs.
  std::uint64_t freed_if_deleted_bytes = 0;
};

// When snapshots are made by themselves, and how many of them stay.
struct SnapshotPolicy {
  bool off = false;
  std::uint64_t every_seconds = 900;
  std::uint32_t keep_last = 4, keep_hourly = 24, keep_daily = 7, keep_weekly = 8, keep_monthly = 6;
  friend bool operator==(const SnapshotPolicy&, const SnapshotPolicy&) = default;
};

// One thing in which two states of a project differ. A file is the same file if it is the same
// inode; one that took the place of another of its type, and neither is known on the other side,
// counts as the same too (as editors save files). Paths are relative to the project's root, which
// is ".".
struct Difference {
  enum class Kind : std::uint8_t {
    kAdded,     // the name `path` is there only now
    kRemoved,   // the name `path` was there only then
    kRenamed,   // what was `old_path` is now `path`, with everything below it
    kModified,  // the content of `path` differs
    // Mode, owner or extended attributes differ, or the time of change alone (not that of a
    // directory, which goes with its entries).
    kMetadata,
  };
  Kind kind = Kind::kAdded;
  std::uint32_t type = 0;  // S_IFMT bits
  std::string path, old_path;
};

class Snapshots {
 public:
  virtual ~Snapshots() = default;

  // Makes a snapshot, O(1) in the size of the project. It is durable on return. An empty name: the
  // time in UTC, like "2026-11-22T18-30-00Z" (with "-2", "-3", … where that is taken).
  virtual Result<SnapshotInfo> create(std::string_view name, bool automatic) = 0;
  // Whether anything changed since the newest snapshot; true if there is none. O(1).
  virtual Result<bool> changed() = 0;
  // EDQUOT from create(): the use of history has reached its limit (history_limit() in store.h);
  // the sentence names the use, the limit and the three snapshots whose deletion frees most.
  // EBUSY: it is held. It is gone at once, also for those who read it (ESTALE); its space comes
  // back in the background, at the cost of what changed around it. Never fails for lack of quota.
  virtual Status remove(std::string_view name) = 0;
  // A renamed snapshot is no longer automatic.
  virtual Status rename(std::string_view name, std::string_view new_name) = 0;
  // Makes the head what it was in a snapshot. What it is until then is kept as a snapshot first,
  // "before-rollback-" and the time, which is returned; all others stay. Costs as much as changed
  // since, whatever the size of the project; changes of the head wait meanwhile. Inodes of both
  // sides keep their numbers; one that the snapshot lacks is gone, also for who has it open
  // (ESTALE). EDQUOT as from create(). `changed` (may be empty) is told of everything that a kernel
  // may have cached: of an inode, or of the entry `name` in the directory `ino`.
  using Changed = std::function<void(Ino ino, std::string_view name)>;
  virtual Result<SnapshotInfo> rollback(std::string_view name, const Changed& changed) = 0;
  virtual Status set_held(std::string_view name, bool held) = 0;

  virtual Result<SnapshotInfo> find(std::string_view name) = 0;
  virtual Result<SnapshotInfo> by_number(std::uint64_t number) = 0;
  virtual Result<std::vector<SnapshotInfo>> list() = 0;  // oldest first
  // Those with a number above `after`, oldest first, until `sink` returns false.
  using Sink = std::function<bool(const SnapshotInfo&)>;
  virtual Status each(std::uint64_t after, const Sink& sink) = 0;
  [[nodiscard]] virtual std::uint64_t count() = 0;

  // A snapshot as a volume: EROFS for every change, the same inode numbers as the head. One object
  // as long as anybody holds it. After the snapshot was deleted every call on it fails with ESTALE.
  virtual Result<std::shared_ptr<Volume>> volume(std::uint64_t number) = 0;

  // What differs in the state `to` (a snapshot's number; nullopt: the head) from that of the
  // snapshot `from`, in no particular order, at a cost by what changed between them. `from` may be
  // the newer one. While the head changes it is compared as it was at the call, as far as names go.
  // `sink` returns false to stop (ECANCELED); `progress` (may be empty) gets 0..1.
  using DifferenceSink = std::function<bool(const Difference&)>;
  virtual Status diff(std::uint64_t from, std::optional<std::uint64_t> to,
                      const DifferenceSink& sink, const std::function<void(double)>& progress) = 0;

  virtual Result<SnapshotPolicy> policy() = 0;  // the default unless one was set
  virtual Status set_policy(const SnapshotPolicy& policy) = 0;
};

// How long writers of a project were held up while its snapshots were made, of the last 1024 in the
// whole store.
struct SnapshotPauses {
  std::uint64_t count = 0;  // since the store was opened
  std::uint64_t p50_ns = 0, p99_ns = 0, max_ns = 0;
};

}  // namespace projfs
