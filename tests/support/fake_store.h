// SPDX-License-Identifier: MIT
//
// A store that keeps projects in memory, each with a MemoryVolume that lives while it is held.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "projfs/store.h"
#include "support/memory_volume.h"

namespace projfs::testing {

class FakeStore final : public Store {
 public:
  Result<ProjectInfo> create(const ProjectSpec& spec) override {
    const std::lock_guard lock(mutex_);
    if (!well_formed(spec.id)) return fail(EINVAL);
    if (projects_.contains(spec.id)) return fail(EEXIST);
    ProjectInfo info;
    info.number = ++last_number_;
    info.id = spec.id;
    info.created_ns = 1'700'000'000'000'000'000;
    info.uid = spec.uid;
    info.gid = spec.gid;
    info.dedup = spec.dedup;
    info.quota = spec.quota;
    info.usage.inodes = 1;
    projects_[spec.id] = {info, {}};
    return info;
  }
  Result<ProjectInfo> clone(std::string_view, std::string_view, std::string_view) override {
    return fail(EOPNOTSUPP, "this store, which lives in memory, makes no clones");
  }
  Status destroy(std::string_view id) override {
    const std::lock_guard lock(mutex_);
    PROJFS_ASSIGN(auto* project, find(id));
    if (!project->volume.expired()) return fail(EBUSY);
    projects_.erase(projects_.find(id));
    return {};
  }
  Result<std::vector<ProjectInfo>> list() override {
    const std::lock_guard lock(mutex_);
    std::vector<ProjectInfo> all;
    for (const auto& [id, project] : projects_) all.push_back(project.info);
    return all;
  }
  Result<ProjectInfo> show(std::string_view id) override {
    const std::lock_guard lock(mutex_);
    PROJFS_ASSIGN(auto* project, find(id));
    return project->info;
  }
  Status set_quota(std::string_view id, const Quota& quota) override {
    const std::lock_guard lock(mutex_);
    PROJFS_ASSIGN(auto* project, find(id));
    project->info.quota = quota;
    return {};
  }
  Result<std::shared_ptr<Snapshots>> snapshots(std::string_view id) override {
    const std::lock_guard lock(mutex_);
    PROJFS_TRY(find(id));
    return fail(EOPNOTSUPP, "this store, which lives in memory, knows no snapshots");
  }
  Result<std::shared_ptr<Volume>> volume(std::string_view id) override {
    const std::lock_guard lock(mutex_);
    PROJFS_ASSIGN(auto* project, find(id));
    auto volume = project->volume.lock();
    if (!volume) project->volume = volume = std::make_shared<MemoryVolume>();
    return volume;
  }
  std::optional<std::uint64_t> answered(const RequestId&) const override { return std::nullopt; }
  Status forget_answers() override { return {}; }
  Result<StoreStatus> status() override {
    StoreStatus status;
    status.uuid = "00000000-0000-0000-0000-000000000001";
    status.path = "/fake";
    status.projects = projects_.size();
    return status;
  }
  StoreStats stats() const override { return {}; }
  Status ingest_all() override { return {}; }
  Status sync() override { return {}; }
  Status collect_garbage() override { return {}; }
  Result<CheckReport> check(bool, const std::function<void(double)>& progress) override {
    if (progress) progress(0.5);
    CheckReport report;
    report.projects = projects_.size();
    report.problems = problems;
    return report;
  }

  std::vector<std::string> problems;  // what check() finds

 private:
  struct Project {
    ProjectInfo info;
    std::weak_ptr<Volume> volume;
  };

  static bool well_formed(std::string_view id) {
    return !id.empty() && id.size() <= 63 && id.front() != '-' && id.front() != '.' &&
           id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") ==
               std::string_view::npos;
  }
  Result<Project*> find(std::string_view id) {
    if (!well_formed(id)) return fail(EINVAL);
    const auto at = projects_.find(id);
    if (at == projects_.end()) return fail(ENOENT);
    return &at->second;
  }

  std::mutex mutex_;
  std::map<std::string, Project, std::less<>> projects_;
  std::uint64_t last_number_ = 0;
};

}  // namespace projfs::testing
