// SPDX-License-Identifier: MIT
#include "fs/overlay.h"

#include <iterator>

namespace projfs::fs {

Overlay::Map::const_iterator Overlay::find(std::uint64_t offset) const {
  auto it = map_.upper_bound(offset);
  if (it != map_.begin() && std::prev(it)->second.end > offset) --it;
  return it;
}

void Overlay::erase(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return;
  auto it = find(begin);
  while (it != map_.end() && it->second.begin < end) {
    const OverlayEntry old = it->second;
    it = map_.erase(it);
    if (old.begin < begin) map_.emplace(old.begin, old.cut(old.begin, begin));
    if (old.end > end) {
      map_.emplace(end, old.cut(end, old.end));
      return;
    }
  }
}

void Overlay::assign(const OverlayEntry& entry) {
  if (entry.begin >= entry.end) return;
  erase(entry.begin, entry.end);
  map_.emplace(entry.begin, entry);
}

void Overlay::drop_through(StageSeq seq) {
  std::erase_if(map_, [seq](const auto& item) { return item.second.seq <= seq; });
}

std::vector<OverlayEntry> Overlay::copy() const {
  std::vector<OverlayEntry> out;
  out.reserve(map_.size());
  for (const auto& [begin, entry] : map_) out.push_back(entry);
  return out;
}

}  // namespace projfs::fs
