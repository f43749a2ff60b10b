// SPDX-License-Identifier: MIT
//
// The pack files of a directory: which there are, how long, and open descriptors for a bounded
// number of them. One pack at a time is active: all writers append blocks to it, each into space
// that it reserved. Knows nothing of the index.
//
// Thread safety: any thread. A file that a caller got stays readable after its pack is removed.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "projfs/env.h"
#include "projfs/result.h"

namespace projfs::chunks {

// Magic "PROJPACK", le32 version, le32 zero, le64 pack number, le64 XXH3-64 of those 24 bytes.
inline constexpr std::size_t kPackHeader = 32;
inline constexpr std::uint32_t kPackVersion = 1;

std::string pack_header(std::uint64_t number);
// ENOTSUP for a newer version, EIO for what is no header of this pack.
Status check_pack_header(std::uint64_t number, Bytes header);
std::string pack_name(std::uint64_t number);

struct Pack {
  explicit Pack(std::uint64_t n) : number(n) {}
  const std::uint64_t number;
  std::atomic<std::uint64_t> size{0};
  std::atomic<int> holds{0};  // writers with blocks in it that no index record names yet
};

// Keeps a pack from being judged by its index records while some are still to come.
class PackHold {
 public:
  explicit PackHold(std::shared_ptr<Pack> pack) : pack_(std::move(pack)) { ++pack_->holds; }
  ~PackHold() {
    if (pack_) --pack_->holds;
  }
  PackHold(PackHold&&) noexcept = default;
  PackHold& operator=(PackHold&&) = delete;
  PackHold(const PackHold&) = delete;
  PackHold& operator=(const PackHold&) = delete;
  [[nodiscard]] const Pack* pack() const { return pack_.get(); }

 private:
  std::shared_ptr<Pack> pack_;
};

class Packs {
 public:
  Packs(Env& env, std::string directory, std::uint64_t pack_bytes)
      : env_(env), directory_(std::move(directory)), pack_bytes_(pack_bytes) {}

  // Before first use: what is in the directory, by number; files that are no packs are left alone.
  Result<std::vector<std::uint64_t>> found();
  // Takes a file of the directory into the table. Numbers given out later are higher.
  void adopt(std::uint64_t number, std::uint64_t size);
  void never_reuse(std::uint64_t number);
  // Makes `number` the active pack, if it is sound and has room.
  Status resume(std::uint64_t number);

  struct Slot {
    std::shared_ptr<Pack> pack;
    std::shared_ptr<File> file;
    std::uint64_t offset = 0;
  };
  // Room for `bytes` at the end of the active pack, which is made or closed as needed. The pack is
  // held by `holds` from now on, if it was not before.
  Result<Slot> reserve(std::uint64_t bytes, std::vector<PackHold>& holds);
  // After a failed write: gives the room back, unless others reserved behind it.
  void abandon(const Slot& slot, std::uint64_t bytes);

  // ENOENT when there is no such pack (any more).
  Result<std::shared_ptr<File>> file(std::uint64_t number);
  [[nodiscard]] bool has(std::uint64_t number, std::uint64_t end) const;
  // The file vanished behind our back.
  void forget(std::uint64_t number);

  // Closes the pack to writers; true when it has none and never will.
  bool retire(std::uint64_t number);
  Status remove(std::uint64_t number);

  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_.load(); }
  [[nodiscard]] std::vector<std::uint64_t> numbers() const;  // unsorted
  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] std::uint64_t size_of(std::uint64_t number) const;  // 0: no such pack
  [[nodiscard]] std::uint64_t active() const;                       // 0: none
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string path_of(std::uint64_t number) const;

 private:
  static constexpr std::size_t kMostOpen = 64;

  Status start_pack();
  void close_active();

  Env& env_;
  const std::string directory_;
  const std::uint64_t pack_bytes_;
  std::atomic<std::uint64_t> total_bytes_{0};

  mutable std::shared_mutex table_mutex_;  // guards the next member; taken after append_mutex_
  std::unordered_map<std::uint64_t, std::shared_ptr<Pack>> table_;

  mutable std::mutex append_mutex_;  // guards the next three
  std::uint64_t next_ = 1;
  std::shared_ptr<Pack> active_;
  std::shared_ptr<File> active_file_;

  std::mutex open_mutex_;                                            // guards the next two
  std::list<std::pair<std::uint64_t, std::shared_ptr<File>>> open_;  // most recently used first
  std::unordered_map<std::uint64_t, decltype(open_)::iterator> open_index_;
};

}  // namespace projfs::chunks
