// SPDX-License-Identifier: MIT
//
// Snapshots made of volumes in memory. create() takes the volume that the test has put up as
// `next`, whose inode numbers should be those of the head.
#pragma once

#include <map>
#include <mutex>

#include "snapshot/tree.h"
#include "support/memory_volume.h"

namespace projfs::testing {

class FakeSnapshots final : public snapshot::SnapshotSet {
 public:
  std::uint64_t add(const std::string& name, std::shared_ptr<Volume> content) {
    const std::lock_guard lock(mutex_);
    const auto number = next_number_++;
    snapshots_[number] = {name, std::move(content)};
    ++changed_.tv_nsec;
    return number;
  }

  Result<Entry> find(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, snapshot] : snapshots_)
      if (snapshot.name == name) return Entry{number, snapshot.name};
    return fail(ENOENT);
  }
  Status list(std::uint64_t after, const std::function<bool(const Entry&)>& sink) override {
    std::map<std::uint64_t, Snapshot> now;
    {
      const std::lock_guard lock(mutex_);
      now = snapshots_;
    }
    for (auto at = now.upper_bound(after); at != now.end(); ++at)
      if (!sink({at->first, at->second.name})) break;
    return {};
  }
  Result<std::shared_ptr<Volume>> volume(std::uint64_t number) override {
    const std::lock_guard lock(mutex_);
    const auto at = snapshots_.find(number);
    if (at == snapshots_.end()) return fail(ESTALE);
    return at->second.content;
  }
  timespec changed() override {
    const std::lock_guard lock(mutex_);
    return changed_;
  }
  Result<Entry> create(std::string_view name) override {
    if (find(name)) return fail(EEXIST);
    if (refuse_creation != 0) return fail(refuse_creation);
    return Entry{add(std::string(name), next), std::string(name)};
  }
  Status remove(std::string_view name) override {
    PROJFS_ASSIGN(const auto found, find(name));
    const std::lock_guard lock(mutex_);
    snapshots_.erase(found.number);
    ++changed_.tv_nsec;
    return {};
  }
  Status rename(std::string_view from, std::string_view to) override {
    PROJFS_ASSIGN(const auto found, find(from));
    if (find(to)) return fail(EEXIST);
    const std::lock_guard lock(mutex_);
    snapshots_[found.number].name = to;
    ++changed_.tv_nsec;
    return {};
  }

  Result<std::string> describe(std::uint64_t number) override {
    return "snapshot " + std::to_string(number);
  }

  std::shared_ptr<Volume> next = std::make_shared<MemoryVolume>();
  int refuse_creation = 0;  // errno

 private:
  struct Snapshot {
    std::string name;
    std::shared_ptr<Volume> content;
  };
  std::mutex mutex_;
  std::map<std::uint64_t, Snapshot> snapshots_;
  std::uint64_t next_number_ = 1;
  timespec changed_{1'700'000'000, 0};
};

}  // namespace projfs::testing
