// SPDX-License-Identifier: MIT
//
// What the host does with snapshots: composes what is mounted, runs the policies, and is the one
// way in which anybody makes, deletes or renames them, so that those who show them know.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <shared_mutex>
#include <string>

#include "projfs/store.h"
#include "snapshot/automatic.h"
#include "snapshot/tree.h"

namespace projfs {

// The snapshots of one project, for everybody who changes or shows them.
class ShownSnapshots final : public snapshot::SnapshotSet {
 public:
  explicit ShownSnapshots(std::shared_ptr<Snapshots> engine);

  Result<Entry> find(std::string_view name) override;
  Status list(std::uint64_t after, const std::function<bool(const Entry&)>& sink) override;
  Result<std::shared_ptr<Volume>> volume(std::uint64_t number) override;
  timespec changed() override;
  Result<Entry> create(std::string_view name) override;
  Status remove(std::string_view name) override;
  Status rename(std::string_view from, std::string_view to) override;
  Result<std::string> describe(std::uint64_t number) override;

  Result<SnapshotInfo> make(std::string_view name, bool automatic);
  Result<SnapshotInfo> rollback(std::string_view name, const Snapshots::Changed& changed);
  Snapshots& engine() { return *engine_; }
  // Something changed them in another way.
  void touch();

 private:
  // Volumes used of late: opening one reads the index, and a walk through a snapshot is thousands
  // of calls. They keep nothing themselves.
  static constexpr std::size_t kVolumes = 64;
  struct Recent {
    std::uint64_t number;
    std::shared_ptr<Volume> volume;
  };

  const std::shared_ptr<Snapshots> engine_;
  std::atomic<std::int64_t> changed_ns_;
  std::mutex mutex_;
  std::list<Recent> recent_;  // the latest first
};

class SnapshotService final : private snapshot::Automatic::Host {
 public:
  // The text of user.projfs.status.
  using StatusText = std::function<Result<std::string>(const std::string& id)>;

  // `defaults`: the policy of projects that have none of their own.
  SnapshotService(Store& store, const SnapshotPolicy& defaults);
  ~SnapshotService() override { automatic_.stop(); }

  void set_defaults(const SnapshotPolicy& defaults);
  void describe_with(StatusText status) { status_ = std::move(status); }  // before anything mounts
  // Policies run from now on, until stop().
  void start() { automatic_.start(); }
  void stop() { automatic_.stop(); }

  // One object as long as anybody holds it.
  Result<std::shared_ptr<ShownSnapshots>> of(const std::string& id);
  // The volume to mount: the head with its snapshots.
  Result<std::shared_ptr<Volume>> tree(const std::string& id);
  // The head was changed in another way than through tree().
  void head_changed(const std::string& id) { automatic_.look_at(id); }

  // Held while a project's snapshots are used in other ways than through a volume of it.
  [[nodiscard]] std::shared_lock<std::shared_mutex> in_use() { return std::shared_lock(life_); }
  // Destroys a project while nobody uses its snapshots.
  Status destroy(const std::string& id);

  struct Policy {
    SnapshotPolicy policy;
    bool own = false;  // not the default
  };
  Result<Policy> policy(const std::string& id);
  Status set_policy(const std::string& id, const SnapshotPolicy& policy);
  // Why automatic snapshots are skipped at present.
  [[nodiscard]] std::optional<std::string> skipped(const std::string& id) const {
    return automatic_.skipped(id);
  }
  // Deletes what the policy does not keep, or only says what it would. `progress` gets 0..1;
  // false: stop.
  Result<std::vector<SnapshotInfo>> prune_now(const std::string& id, bool dry_run,
                                              const std::function<bool(double)>& progress);

 private:
  Result<std::optional<std::int64_t>> period_ms(const std::string& id) override;
  Result<bool> changed(const std::string& id) override;
  Status make(const std::string& id, const std::string& name) override;
  Status prune(const std::string& id, const std::function<bool()>& stop) override;
  std::int64_t steady_ms() override;
  std::int64_t wall_ns() override;

  Store& store_;
  StatusText status_;
  std::shared_mutex life_;  // taken first
  std::mutex mutex_;
  SnapshotPolicy defaults_;
  std::map<std::string, std::weak_ptr<ShownSnapshots>, std::less<>> shown_;
  snapshot::Automatic automatic_{*this};
};

nlohmann::json to_json(const SnapshotInfo& snapshot);
nlohmann::json to_json(const SnapshotService::Policy& policy);

}  // namespace projfs
