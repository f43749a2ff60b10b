// SPDX-License-Identifier: MIT
#include "host/snapshot_service.h"

#include <time.h>
#include <algorithm>

#include "host/text.h"
#include "projfs/log.h"
#include "snapshot/retention.h"

namespace projfs {
namespace {

using nlohmann::json;

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

snapshot::Retention retention_of(const SnapshotPolicy& p) {
  return {p.keep_last, p.keep_hourly, p.keep_daily, p.keep_weekly, p.keep_monthly};
}

}  // namespace

json to_json(const SnapshotInfo& s) {
  return {{"name", s.name},
          {"created_at", rfc3339(s.created_ns)},
          {"epoch", s.epoch},
          {"number", s.number},
          {"held", s.held},
          {"automatic", s.automatic},
          {"logical_bytes", s.logical_bytes},
          {"freed_if_deleted_bytes", s.freed_if_deleted_bytes}};
}

json to_json(const SnapshotService::Policy& p) {
  return {{"off", p.policy.off},
          {"every_seconds", p.policy.every_seconds},
          {"keep", snapshot::format_retention(retention_of(p.policy))},
          {"default", !p.own}};
}

ShownSnapshots::ShownSnapshots(std::shared_ptr<Snapshots> engine)
    : engine_(std::move(engine)), changed_ns_(now_ns()) {}

void ShownSnapshots::touch() {
  auto before = changed_ns_.load();
  while (!changed_ns_.compare_exchange_weak(before, std::max(now_ns(), before + 1))) {
  }
}

timespec ShownSnapshots::changed() {
  const auto ns = changed_ns_.load();
  return {ns / kNsPerSecond, ns % kNsPerSecond};
}

Result<snapshot::SnapshotSet::Entry> ShownSnapshots::find(std::string_view name) {
  PROJFS_ASSIGN(const auto found, engine_->find(name));
  return Entry{found.number, found.name};
}

Status ShownSnapshots::list(std::uint64_t after, const std::function<bool(const Entry&)>& sink) {
  return engine_->each(after, [&](const SnapshotInfo& found) {
    return sink({found.number, found.name});
  });
}

Result<std::shared_ptr<Volume>> ShownSnapshots::volume(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(recent_.begin(), recent_.end(),
                                 [&](const Recent& r) { return r.number == number; });
    if (at != recent_.end()) {
      recent_.splice(recent_.begin(), recent_, at);
      return at->volume;
    }
  }
  auto opened = engine_->volume(number);
  if (!opened && opened.error().code == ENOENT) return fail(ESTALE);
  PROJFS_TRY(opened);
  const std::lock_guard lock(mutex_);
  recent_.push_front({number, *opened});
  if (recent_.size() > kVolumes) recent_.pop_back();
  return *opened;
}

Result<SnapshotInfo> ShownSnapshots::make(std::string_view name, bool automatic) {
  auto made = engine_->create(name, automatic);
  if (made) touch();
  return made;
}

Result<SnapshotInfo> ShownSnapshots::rollback(std::string_view name,
                                              const Snapshots::Changed& changed) {
  auto kept = engine_->rollback(name, changed);
  if (kept) touch();
  return kept;
}

Result<snapshot::SnapshotSet::Entry> ShownSnapshots::create(std::string_view name) {
  PROJFS_ASSIGN(const auto made, make(name, false));
  return Entry{made.number, made.name};
}

Status ShownSnapshots::remove(std::string_view name) {
  PROJFS_ASSIGN(const auto found, engine_->find(name));
  {
    const std::lock_guard lock(mutex_);
    recent_.remove_if([&](const Recent& r) { return r.number == found.number; });
  }
  auto removed = engine_->remove(name);
  if (removed) touch();
  return removed;
}

Status ShownSnapshots::rename(std::string_view from, std::string_view to) {
  auto renamed = engine_->rename(from, to);
  if (renamed) touch();
  return renamed;
}

Result<std::string> ShownSnapshots::describe(std::uint64_t number) {
  PROJFS_ASSIGN(const auto found, engine_->by_number(number));
  return to_json(found).dump(-1, ' ', false, json::error_handler_t::replace);
}

SnapshotService::SnapshotService(Store& store, const SnapshotPolicy& defaults)
    : store_(store), defaults_(defaults) {}

void SnapshotService::set_defaults(const SnapshotPolicy& defaults) {
  const std::lock_guard lock(mutex_);
  defaults_ = defaults;
}

Result<std::shared_ptr<ShownSnapshots>> SnapshotService::of(const std::string& id) {
  PROJFS_ASSIGN(auto engine, store_.snapshots(id));
  const std::lock_guard lock(mutex_);
  auto& slot = shown_[id];
  auto present = slot.lock();
  // A project that was destroyed and made again is another one.
  if (!present || &present->engine() != engine.get())
    slot = present = std::make_shared<ShownSnapshots>(std::move(engine));
  return present;
}

Result<std::shared_ptr<Volume>> SnapshotService::tree(const std::string& id) {
  PROJFS_ASSIGN(auto head, store_.volume(id));
  PROJFS_ASSIGN(auto shown, of(id));
  auto status = [this, id]() -> Result<std::string> {
    if (!status_) return fail(ENODATA);
    return status_(id);
  };
  auto made = std::make_shared<snapshot::SnapshotTree>(std::move(head), std::move(shown),
                                                       std::move(status), automatic_.signal(id));
  // Nobody knows what was changed before, by an earlier daemon perhaps.
  automatic_.look_at(id);
  return std::static_pointer_cast<Volume>(made);
}

Status SnapshotService::destroy(const std::string& id) {
  const std::unique_lock alone(life_);
  return store_.destroy(id);
}

Result<SnapshotService::Policy> SnapshotService::policy(const std::string& id) {
  PROJFS_ASSIGN(const auto engine, store_.snapshots(id));
  PROJFS_ASSIGN(const auto set, engine->policy());
  if (set == SnapshotPolicy()) {
    const std::lock_guard lock(mutex_);
    return Policy{defaults_, false};
  }
  return Policy{set, true};
}

Status SnapshotService::set_policy(const std::string& id, const SnapshotPolicy& policy) {
  PROJFS_ASSIGN(const auto engine, store_.snapshots(id));
  PROJFS_TRY(engine->set_policy(policy));
  automatic_.look_at(id);
  return {};
}

Result<std::vector<SnapshotInfo>> SnapshotService::prune_now(
    const std::string& id, bool dry_run, const std::function<bool(double)>& progress) {
  PROJFS_ASSIGN(const auto now, policy(id));
  PROJFS_ASSIGN(const auto shown, of(id));
  PROJFS_ASSIGN(const auto all, shown->engine().list());
  std::vector<snapshot::Candidate> candidates;
  for (const auto& s : all) candidates.push_back({s.created_ns, s.automatic, s.held});
  std::vector<SnapshotInfo> out;
  const auto doomed = snapshot::to_prune(candidates, retention_of(now.policy));
  for (const auto index : doomed) {
    const auto share = static_cast<double>(out.size()) / static_cast<double>(doomed.size());
    if (progress && !progress(share)) break;
    if (!dry_run) {
      const auto removed = shown->remove(all[index].name);
      // Deleted, renamed or held meanwhile: then it is none of ours.
      if (!removed && (removed.error().code == ENOENT || removed.error().code == EBUSY)) continue;
      PROJFS_TRY(removed);
    }
    out.push_back(all[index]);
  }
  return out;
}

Result<std::optional<std::int64_t>> SnapshotService::period_ms(const std::string& id) {
  const auto hold = in_use();
  PROJFS_ASSIGN(const auto now, policy(id));
  if (now.policy.off || now.policy.every_seconds == 0) return std::nullopt;
  return static_cast<std::int64_t>(now.policy.every_seconds) * 1000;
}

Result<bool> SnapshotService::changed(const std::string& id) {
  const auto hold = in_use();
  PROJFS_ASSIGN(const auto engine, store_.snapshots(id));
  return engine->changed();
}

Status SnapshotService::make(const std::string& id, const std::string& name) {
  const auto hold = in_use();
  PROJFS_ASSIGN(const auto shown, of(id));
  PROJFS_ASSIGN(const auto made, shown->make(name, true));
  log::info("{}: made the automatic snapshot {}", id, made.name);
  return {};
}

Status SnapshotService::prune(const std::string& id, const std::function<bool()>& stop) {
  const auto hold = in_use();
  PROJFS_ASSIGN(const auto gone, prune_now(id, false, [&](double) { return !stop(); }));
  for (const auto& s : gone) log::info("{}: deleted the automatic snapshot {}", id, s.name);
  return {};
}

std::int64_t SnapshotService::steady_ms() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);  // goes on while the host sleeps
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

std::int64_t SnapshotService::wall_ns() { return now_ns(); }

}  // namespace projfs
