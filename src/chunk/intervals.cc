// SPDX-License-Identifier: MIT
#include "chunk/intervals.h"

#include <algorithm>
#include <vector>

namespace projfs::chunks {

void Intervals::insert(std::uint64_t first, std::uint64_t last) {
  auto next = map_.upper_bound(first);
  if (next != map_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= last) return;
    if (before->second + 1 >= first) {
      first = before->first;
      map_.erase(before);
    }
  }
  while (next != map_.end() && next->first <= last + 1) {
    last = std::max(last, next->second);
    next = map_.erase(next);
  }
  map_.emplace_hint(next, first, last);
}

void Intervals::erase_through(std::uint64_t n) {
  while (!map_.empty() && map_.begin()->first <= n) {
    const auto last = map_.begin()->second;
    map_.erase(map_.begin());
    if (last > n) {
      map_.emplace(n + 1, last);
      return;
    }
  }
}

bool Intervals::contains(std::uint64_t n) const {
  const auto next = map_.upper_bound(n);
  return next != map_.begin() && std::prev(next)->second >= n;
}

void Intervals::coarsen(std::size_t most) {
  if (map_.size() <= most) return;
  std::vector<std::uint64_t> gaps;
  for (auto it = map_.begin(); std::next(it) != map_.end(); ++it) {
    gaps.push_back(std::next(it)->first - it->second);
  }
  const auto surplus = map_.size() - most;
  std::nth_element(gaps.begin(), gaps.begin() + static_cast<std::ptrdiff_t>(surplus - 1),
                   gaps.end());
  const auto widest = gaps[surplus - 1];
  for (auto it = map_.begin(); map_.size() > most && std::next(it) != map_.end();) {
    const auto next = std::next(it);
    if (next->first - it->second <= widest) {
      it->second = next->second;
      map_.erase(next);
    } else {
      it = next;
    }
  }
}

void Intervals::encode(std::string& out) const {
  put_varint(out, map_.size());
  std::uint64_t at = 0;
  for (const auto& [first, last] : map_) {
    put_varint(out, first - at);
    put_varint(out, last - first);
    at = last;
  }
}

std::optional<Intervals> Intervals::decode(Reader& in) {
  Intervals out;
  const auto n = in.varint();
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < n && in.ok(); ++i) {
    const auto first = at + in.varint();
    at = first + in.varint();
    if (in.ok()) out.insert(first, at);
  }
  if (!in.ok()) return std::nullopt;
  return out;
}

}  // namespace projfs::chunks
