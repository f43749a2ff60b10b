// SPDX-License-Identifier: MIT
//
// One operation as a program would do it, and doing it in a directory. Each changes a file system
// by at most one mutating system call, so after a crash it is done or it is not.
#pragma once

#include <sys/types.h>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace projfs::model {

enum class Do {
  kCreate,
  kMkdir,
  kMknod,
  kSymlink,
  kLink,
  kUnlink,
  kRmdir,
  kRename,
  kOpen,      // path into a slot
  kTmpfile,   // an unnamed file into a slot
  kLinkSlot,  // gives the slot's file a name
  kClose,
  kWrite,
  kAppend,
  kTruncate,
  kFallocate,
  kCopyRange,
  kSeek,
  kMapWrite,
  kDirectWrite,
  kSetXattr,
  kRemoveXattr,
  kChmod,
  kChown,
  kUtimens,
  kFsync,
  kList,
};

struct Operation {
  Do what = Do::kList;
  std::string path, other;         // below the world's root; "." is the root
  int slot = -1, other_slot = -1;  // an open file instead of a path
  std::uint64_t offset = 0, other_offset = 0, length = 0;
  unsigned flags = 0;  // of the system call
  mode_t mode = 0;     // with type bits for kMknod
  dev_t device = 0;
  uid_t uid = 0;  // kChown's new owner
  gid_t gid = 0;
  std::string name, value;  // of an xattr
  std::int64_t seconds = 0;
  long nanoseconds = 0;
  std::uint64_t seed = 0;  // of the data
  std::uint64_t skip = 0;  // bytes of that data left out, for the rest of a write
  uid_t as = 0;            // who does it; 0: root

  [[nodiscard]] std::string describe() const;
};

struct Outcome {
  int error = 0;
  std::int64_t result = 0;  // bytes written or copied
  std::string text;         // what the call showed: names of a directory, data found
};

// The operation as it was answered: copy_file_range(2) may copy less than asked, but not nothing.
Operation answered(Operation op, const Outcome& outcome);

// A directory in which operations are done, with the files they hold open.
class World {
 public:
  static constexpr int kSlots = 8;
  explicit World(std::string root) : root_(std::move(root)) { slots_.fill(-1); }
  ~World() { close_all(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Outcome apply(const Operation& op);
  [[nodiscard]] std::string at(const std::string& path) const { return root_ + "/" + path; }
  [[nodiscard]] int slot(int i) const { return slots_[i]; }
  void close_all();

 private:
  // The open file the operation names, or an error; closed at the end unless it is a slot.
  class Target;
  Outcome do_names(const Operation& op);
  Outcome do_data(const Operation& op);
  Outcome do_attributes(const Operation& op);

  std::string root_;
  std::array<int, kSlots> slots_{};
};

}  // namespace projfs::model
