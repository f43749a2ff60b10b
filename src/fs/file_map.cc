// SPDX-License-Identifier: MIT
#include "fs/file_map.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "fs/project.h"
#include "meta/cursor.h"

namespace projfs::fs {
namespace {

using meta::ExtentKind;
using meta::kSegmentBytes;

PieceKind piece_kind(ExtentKind kind) {
  switch (kind) {
    case ExtentKind::kChunk:
      return PieceKind::kChunk;
    case ExtentKind::kZero:
      return PieceKind::kZero;
    case ExtentKind::kPrealloc:
      break;
  }
  return PieceKind::kPrealloc;
}

Result<meta::ExtentList> decode_segment(std::string_view payload) {
  auto list = meta::ExtentList::decode(payload);
  if (!list) return fail(EIO, "a file map segment does not decode");
  return std::move(*list);
}

// Walks the extents in the index forwards. A range within one segment costs one Get; a longer one
// an iterator, so that the cost is by extents that exist, not by the length of a sparse file.
class BaseCursor {
 public:
  BaseCursor(const Project& project, Ino ino, bool has_extents, std::uint64_t end)
      : project_(project), ino_(ino), has_extents_(has_extents), end_(end) {}

  // The piece at `at`, reaching to `limit` at the most. Calls must go forwards.
  Result<Piece> piece(std::uint64_t at, std::uint64_t limit) {
    Piece p{at, limit};
    if (!has_extents_) return p;
    while (true) {
      PROJFS_TRY(load(at));
      if (exhausted_ || segment_ * kSegmentBytes >= limit) return p;  // hole up to the limit
      const std::uint64_t base = segment_ * kSegmentBytes;
      const auto from = static_cast<std::uint32_t>(at > base ? at - base : 0);
      const auto e = list_.find(from);
      if (e == list_.extents().end()) {
        // A hole to the end of this segment: look on in the next, from where the hole began.
        if (base + kSegmentBytes >= limit) return p;
        PROJFS_ASSIGN(auto rest, piece(base + kSegmentBytes, limit));
        p.end = rest.kind == PieceKind::kHole ? rest.end : rest.begin;
        return p;
      }
      const std::uint64_t begin = base + e->offset;
      if (begin > at) {
        p.end = std::min(limit, begin);
        return p;
      }
      p.kind = piece_kind(e->kind);
      p.end = std::min(limit, base + e->end());
      if (e->kind == ExtentKind::kChunk) {
        p.chunk = e->chunk;
        p.offset = e->chunk_offset + static_cast<std::uint32_t>(at - begin);
      }
      return p;
    }
  }

 private:
  // Makes segment_ the first existing one that reaches beyond `at`.
  Status load(std::uint64_t at) {
    const auto wanted = at / kSegmentBytes;
    if (exhausted_ || (loaded_ && segment_ >= wanted)) return {};
    if (!cursor_ && !loaded_ && (end_ - 1) / kSegmentBytes == wanted) {
      PROJFS_ASSIGN(list_, load_segment(project_, ino_, wanted));
      segment_ = wanted;
      loaded_ = true;
      return {};
    }
    if (!cursor_) {
      const auto number = project_.number();
      cursor_.emplace(
          project_.head(), meta::seek_key(number, ino_, meta::Kind::kMap, wanted),
          meta::seek_key(number, ino_, meta::Kind::kMap, (end_ - 1) / kSegmentBytes + 1));
    }
    for (; cursor_->valid(); cursor_->next()) {
      meta::ParsedKey key;
      if (!meta::parse_key(cursor_->key(), key)) return fail(EIO, "a file map key does not decode");
      const auto number = key.number();
      if (number < wanted) continue;
      PROJFS_ASSIGN(list_, decode_segment(cursor_->value().payload));
      segment_ = number;
      loaded_ = true;
      cursor_->next();
      return {};
    }
    exhausted_ = true;
    return cursor_->status();
  }

  const Project& project_;
  const Ino ino_;
  const bool has_extents_;
  const std::uint64_t end_;
  std::optional<meta::Cursor> cursor_;
  bool loaded_ = false, exhausted_ = false;
  std::uint64_t segment_ = 0;
  meta::ExtentList list_;
};

}  // namespace

Result<meta::ExtentList> load_segment(const Project& project, Ino ino, std::uint64_t segment) {
  PROJFS_ASSIGN(const auto live,
                project.head().find(meta::map_key(project.number(), ino, segment)));
  if (!live) return meta::ExtentList();
  return decode_segment(live->payload);
}

Status for_each_piece(const Project& project, Ino ino, const Overlay& overlay, bool has_extents,
                      std::uint64_t begin, std::uint64_t end, const PieceVisitor& visit) {
  BaseCursor base(project, ino, has_extents, end);
  auto over = overlay.find(begin);
  std::uint64_t at = begin;
  while (at < end) {
    if (over != overlay.end() && over->second.begin <= at) {
      const auto& e = over->second;
      Piece p{at, std::min(end, e.end), e.kind, 0, e.ref, 0};
      if (e.kind == PieceKind::kStaged)
        p.offset = e.ref_offset + static_cast<std::uint32_t>(at - e.begin);
      ++over;
      at = p.end;
      if (!visit(p)) return {};
      continue;
    }
    const auto limit = over != overlay.end() ? std::min(end, over->second.begin) : end;
    PROJFS_ASSIGN(const auto p, base.piece(at, limit));
    at = p.end;
    if (!visit(p)) return {};
  }
  return {};
}

Status for_each_piece(const Engine& /*engine*/, const Inode& inode, std::uint64_t begin,
                      std::uint64_t end, const PieceVisitor& visit) {
  return for_each_piece(*inode.project, inode.ino, inode.overlay, inode.record.allocated != 0,
                        begin, end, visit);
}

Result<std::uint64_t> allocated_in(const Engine& engine, const Inode& inode, std::uint64_t begin,
                                   std::uint64_t end) {
  std::uint64_t total = 0;
  std::uint64_t counted = begin;  // blocks before this are counted
  PROJFS_TRY(for_each_piece(engine, inode, begin, end, [&](const Piece& p) {
    if (p.kind == PieceKind::kHole) return true;
    const auto from = std::max(counted, block_floor(p.begin));
    const auto to = block_ceil(p.end);
    if (to > from) total += to - from;
    counted = std::max(counted, to);
    return true;
  }));
  return total;
}

Status read_pieces(const Engine& engine, const std::vector<Piece>& pieces, std::uint64_t offset,
                   MutableBytes out) {
  std::vector<ChunkStore::Piece> chunks;
  for (const auto& p : pieces) {
    const auto target = out.subspan(p.begin - offset, p.end - p.begin);
    switch (p.kind) {
      case PieceKind::kStaged:
        PROJFS_TRY(engine.stage.read(p.ref, p.offset, target));
        break;
      case PieceKind::kChunk:
        chunks.push_back({p.chunk, p.offset, target});
        break;
      default:
        std::memset(target.data(), 0, target.size());
    }
  }
  if (chunks.empty()) return {};
  if (chunks.size() == 1)
    return engine.chunks.read(chunks[0].chunk, chunks[0].offset, chunks[0].out);
  return engine.chunks.read_many(chunks);
}

}  // namespace projfs::fs
