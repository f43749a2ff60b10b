// SPDX-License-Identifier: MIT
#include "snapshot/schedule.h"

namespace projfs::snapshot {
namespace {

// FNV-1a with a final mix: places must not change when the daemon or its library does.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93;
  return h ^ (h >> 32);
}

}  // namespace

std::int64_t Schedule::next_place(std::string_view id, std::int64_t period_ms,
                                  std::int64_t now_ms) {
  const auto phase = static_cast<std::int64_t>(hash_of(id) % static_cast<std::uint64_t>(period_ms));
  const std::int64_t past = (now_ms - phase) % period_ms;
  return now_ms - (past < 0 ? past + period_ms : past) + period_ms;
}

void Schedule::changed(std::string_view id, std::int64_t period_ms, std::int64_t now_ms) {
  const auto at = queued_.find(id);
  if (at != queued_.end() && at->second.period_ms == period_ms) return;
  remove(id);
  const auto due_ms = next_place(id, period_ms, now_ms);
  queued_.emplace(std::string(id), Queued{due_ms, period_ms});
  by_due_.emplace(due_ms, std::string(id));
}

void Schedule::remove(std::string_view id) {
  const auto at = queued_.find(id);
  if (at == queued_.end()) return;
  by_due_.erase({at->second.due_ms, at->first});
  queued_.erase(at);
}

std::optional<std::int64_t> Schedule::next_due() const {
  if (by_due_.empty()) return std::nullopt;
  return by_due_.begin()->first;
}

std::optional<std::string> Schedule::take(std::int64_t now_ms) {
  if (by_due_.empty() || by_due_.begin()->first > now_ms) return std::nullopt;
  std::string id = by_due_.begin()->second;
  remove(id);
  return id;
}

std::optional<std::int64_t> Schedule::due(std::string_view id) const {
  const auto at = queued_.find(id);
  if (at == queued_.end()) return std::nullopt;
  return at->second.due_ms;
}

}  // namespace projfs::snapshot
