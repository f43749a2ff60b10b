// SPDX-License-Identifier: MIT
#include "meta/extent_list.h"

#include <algorithm>

#include "projfs/bytes.h"

namespace projfs::meta {
namespace {

Extent tail_of(const Extent& e, std::uint32_t from) {
  Extent t = e;
  t.offset = from;
  t.length = e.end() - from;
  if (e.kind == ExtentKind::kChunk) t.chunk_offset += from - e.offset;
  return t;
}

bool continues(const Extent& a, const Extent& b) {
  if (a.end() != b.offset || a.kind != b.kind) return false;
  return a.kind != ExtentKind::kChunk ||
         (a.chunk == b.chunk && a.chunk_offset + a.length == b.chunk_offset);
}

}  // namespace

std::vector<Extent>::const_iterator ExtentList::find(std::uint32_t offset) const {
  return std::upper_bound(extents_.begin(), extents_.end(), offset,
                          [](std::uint32_t at, const Extent& e) { return at < e.end(); });
}

void ExtentList::erase(std::uint32_t begin, std::uint32_t end) {
  if (begin >= end) return;
  auto first = extents_.begin() + (find(begin) - extents_.cbegin());
  if (first == extents_.end() || first->offset >= end) return;
  if (first->offset < begin && first->end() > end) {  // a hole inside one extent
    const Extent tail = tail_of(*first, end);
    first->length = begin - first->offset;
    extents_.insert(first + 1, tail);
    return;
  }
  if (first->offset < begin) {
    first->length = begin - first->offset;
    ++first;
  }
  auto last = first;
  while (last != extents_.end() && last->end() <= end) ++last;
  if (last != extents_.end() && last->offset < end) *last = tail_of(*last, end);
  extents_.erase(first, last);
}

void ExtentList::assign(const Extent& e) {
  if (e.length == 0) return;
  erase(e.offset, e.end());
  auto at =
      std::lower_bound(extents_.begin(), extents_.end(), e.offset,
                       [](const Extent& x, std::uint32_t offset) { return x.offset < offset; });
  at = extents_.insert(at, e);
  if (at + 1 != extents_.end() && continues(*at, *(at + 1))) {
    at->length += (at + 1)->length;
    extents_.erase(at + 1);
  }
  if (at != extents_.begin() && continues(*(at - 1), *at)) {
    (at - 1)->length += at->length;
    extents_.erase(at);
  }
}

// Each extent: gap to the previous one's end, length * 4 + kind; for a chunk, zigzag of its number
// minus the previous chunk's minus one (chunks of a file are mostly numbered in order) times two,
// plus one if an offset into the chunk follows.
std::string ExtentList::encode() const {
  std::string out;
  out.reserve(extents_.size() * 6);
  std::uint32_t at = 0;
  ChunkNo next = 0;
  for (const auto& e : extents_) {
    put_varint(out, e.offset - at);
    put_varint(out, static_cast<std::uint64_t>(e.length) << 2 | static_cast<unsigned>(e.kind));
    if (e.kind == ExtentKind::kChunk) {
      const auto delta = zigzag(static_cast<std::int64_t>(e.chunk - next));
      put_varint(out, delta << 1 | (e.chunk_offset != 0 ? 1 : 0));
      if (e.chunk_offset != 0) put_varint(out, e.chunk_offset);
      next = e.chunk + 1;
    }
    at = e.end();
  }
  return out;
}

std::optional<ExtentList> ExtentList::decode(std::string_view data) {
  ExtentList list;
  Reader in(data);
  std::uint64_t at = 0;
  ChunkNo next = 0;
  while (!in.empty()) {
    Extent e;
    at += in.varint();
    const auto packed = in.varint();
    const auto length = packed >> 2;
    if (!in.ok() || (packed & 3) > 2 || length == 0 || at > kSegmentBytes ||
        length > kSegmentBytes - at)
      return std::nullopt;
    e.offset = static_cast<std::uint32_t>(at);
    e.length = static_cast<std::uint32_t>(length);
    e.kind = static_cast<ExtentKind>(packed & 3);
    if (e.kind == ExtentKind::kChunk) {
      const auto v = in.varint();
      e.chunk = next + static_cast<ChunkNo>(unzigzag(v >> 1));
      if ((v & 1) != 0) e.chunk_offset = static_cast<std::uint32_t>(in.varint());
      next = e.chunk + 1;
    }
    at = e.end();
    list.extents_.push_back(e);
  }
  if (!in.ok()) return std::nullopt;
  return list;
}

}  // namespace projfs::meta
