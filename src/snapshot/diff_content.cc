// SPDX-License-Identifier: MIT
#include "snapshot/diff_content.h"

#include <unistd.h>
#include <algorithm>
#include <array>

namespace projfs::snapshot {
namespace {

using meta::kSegmentBytes;

constexpr std::size_t kRead = 64 << 10;

}  // namespace

// Without what reads as zeros, as a hole does.
Result<std::vector<meta::Extent>> ContentDiff::chunks(const Side& side, Ino ino,
                                                      std::uint64_t number) const {
  PROJFS_ASSIGN(const auto payload, side.view.get(meta::map_key(project_, ino, number)));
  std::vector<meta::Extent> out;
  if (!payload) return out;
  const auto list = meta::ExtentList::decode(*payload);
  if (!list) return fail(EIO, "a file map segment does not decode");
  std::copy_if(list->extents().begin(), list->extents().end(), std::back_inserter(out),
               [](const meta::Extent& e) { return e.kind == meta::ExtentKind::kChunk; });
  return out;
}

Result<bool> ContentDiff::segment(Ino then, Ino now, std::uint64_t number, bool indexed) const {
  const auto base = number * kSegmentBytes;
  if (!indexed) return range(then, now, base, base + kSegmentBytes);
  PROJFS_ASSIGN(const auto a, chunks(from_, then, number));
  PROJFS_ASSIGN(const auto b, chunks(to_, now, number));
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() && y == b.end()) return false;
  const auto [u, v] = std::mismatch(a.rbegin(), std::make_reverse_iterator(x), b.rbegin(),
                                    std::make_reverse_iterator(y));
  std::uint64_t begin = kSegmentBytes, end = 0;
  const auto include = [&](auto first, auto last) {
    for (; first != last; ++first) {
      begin = std::min<std::uint64_t>(begin, first->offset);
      end = std::max<std::uint64_t>(end, first->end());
    }
  };
  include(x, u.base());
  include(y, v.base());
  return range(then, now, base + begin, base + end);
}

Result<std::optional<std::uint64_t>> ContentDiff::next_data(Ino then, Ino now,
                                                            std::uint64_t offset) const {
  std::optional<std::uint64_t> nearest;
  for (const auto& [volume, ino] : {std::pair(&from_.volume, then), std::pair(&to_.volume, now)}) {
    const auto found = volume->seek(ino, offset, SEEK_DATA);
    if (!found && found.error().code == ENXIO) continue;
    PROJFS_TRY(found);
    nearest = std::min(nearest.value_or(*found), *found);
  }
  return nearest;
}

Result<bool> ContentDiff::range(Ino then, Ino now, std::uint64_t begin, std::uint64_t end) const {
  std::array<std::uint8_t, kRead> a{}, b{};
  for (auto at = begin; at < end;) {
    PROJFS_ASSIGN(const auto data, next_data(then, now, at));
    if (!data || *data >= end) return false;
    at = *data;
    for (const auto upto = std::min(end, at + kSegmentBytes); at < upto; at += kRead) {
      const auto length = std::min<std::uint64_t>(kRead, upto - at);
      const auto x = from_.volume.read(then, at, MutableBytes(a).first(length));
      const auto y = to_.volume.read(now, at, MutableBytes(b).first(length));
      // What cannot be read cannot be the same as anything.
      if ((!x && x.error().code == EIO) || (!y && y.error().code == EIO)) return true;
      PROJFS_TRY(x);
      PROJFS_TRY(y);
      if (*x != *y || !std::equal(a.begin(), a.begin() + *x, b.begin())) return true;
      if (*x < length) return false;  // the end of both
    }
    at = std::min(at, end);
  }
  return false;
}

Result<bool> ContentDiff::whole(Ino then, Ino now, bool indexed) const {
  for (std::uint64_t at = 0;;) {
    PROJFS_ASSIGN(const auto data, next_data(then, now, at));
    if (!data) return false;
    PROJFS_ASSIGN(const bool differs, segment(then, now, *data / kSegmentBytes, indexed));
    if (differs) return true;
    at = (*data / kSegmentBytes + 1) * kSegmentBytes;
  }
}

}  // namespace projfs::snapshot
