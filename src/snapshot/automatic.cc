// SPDX-License-Identifier: MIT
#include "snapshot/automatic.h"

#include <pthread.h>
#include <chrono>

#include "projfs/log.h"
#include "snapshot/retention.h"

namespace projfs::snapshot {
namespace {

// A clock that was set back may have used a second's name already.
constexpr int kNamesTried = 100;

}  // namespace

void Automatic::start() {
  thread_ = std::thread([this] { run(); });
}

void Automatic::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Automatic::run() {
  pthread_setname_np(pthread_self(), "snapshots");
  while (!stopping()) {
    const auto next = step();
    std::unique_lock lock(mutex_);
    const auto called = [this] { return stopping() || !news_.empty(); };
    if (next) {
      const auto wait =
          std::chrono::milliseconds(std::max<std::int64_t>(0, *next - host_.steady_ms()));
      wake_.wait_for(lock, wait, called);
    } else {
      wake_.wait(lock, called);
    }
  }
}

std::shared_ptr<ChangeSignal> Automatic::signal(const std::string& id) {
  const std::lock_guard lock(mutex_);
  auto& slot = signals_[id];
  auto present = slot.lock();
  if (!present) slot = present = std::make_shared<ChangeSignal>([this, id] { look_at(id); });
  return present;
}

void Automatic::look_at(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    news_.push_back(id);
  }
  wake_.notify_all();
}

std::optional<std::string> Automatic::skipped(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto at = skipped_.find(id);
  if (at == skipped_.end()) return std::nullopt;
  return at->second;
}

std::size_t Automatic::queued() const {
  const std::lock_guard lock(mutex_);
  return schedule_.size();
}

void Automatic::queue(const std::string& id) {
  const auto period = host_.period_ms(id);
  const auto now = host_.steady_ms();
  const std::lock_guard lock(mutex_);
  if (period && *period) {
    schedule_.changed(id, **period, now);
    return;
  }
  schedule_.remove(id);
  skipped_.erase(id);
  if (period) return;
  if (period.error().code != ENOENT)
    log::error("{}: cannot read its snapshot policy: {}", id, period.error().describe());
  if (const auto at = signals_.find(id); at != signals_.end() && at->second.expired())
    signals_.erase(at);
}

void Automatic::hear_news() {
  std::vector<std::string> news;
  {
    const std::lock_guard lock(mutex_);
    news.swap(news_);
  }
  for (const auto& id : news) queue(id);
}

std::optional<std::int64_t> Automatic::step() {
  hear_news();
  while (!stopping()) {
    std::optional<std::string> due;
    const auto now = host_.steady_ms();
    {
      const std::lock_guard lock(mutex_);
      due = schedule_.take(now);
    }
    if (!due) break;
    serve(*due);
    hear_news();
  }
  const std::lock_guard lock(mutex_);
  return schedule_.next_due();
}

// Under the time it is made at; a name that is taken gets a number.
Status Automatic::make(const std::string& id) {
  const auto name = automatic_name(host_.wall_ns());
  Status made = host_.make(id, name);
  for (int i = 2; !made && made.error().code == EEXIST && i < kNamesTried; ++i)
    made = host_.make(id, name + "-" + std::to_string(i));
  return made;
}

void Automatic::serve(const std::string& id) {
  std::shared_ptr<ChangeSignal> signal;
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = signals_.find(id); at != signals_.end()) signal = at->second.lock();
  }
  // First: a change that comes while the snapshot is made is either in it or raises this again.
  if (signal) signal->lower();
  const auto period = host_.period_ms(id);
  if (!period || !*period) return queue(id);
  const auto changed = host_.changed(id);
  if (changed && !*changed) return;

  Status made = changed ? make(id) : tl::unexpected(changed.error());
  const auto stop = [this] { return stopping(); };
  const bool full = !made && made.error().code == EDQUOT;
  if (made || full) {
    if (const auto pruned = host_.prune(id, stop); !pruned && pruned.error().code != ENOENT)
      log::error("{}: pruning its snapshots: {}", id, pruned.error().describe());
  }
  if (full) made = make(id);
  if (made) {
    const std::lock_guard lock(mutex_);
    skipped_.erase(id);
    return;
  }
  if (made.error().code == ENOENT) return queue(id);
  {
    const std::lock_guard lock(mutex_);
    const auto& why = skipped_[id] = made.error().describe();
    log::warn("{}: its automatic snapshot was skipped: {}", id, why);
  }
  queue(id);
}

}  // namespace projfs::snapshot
