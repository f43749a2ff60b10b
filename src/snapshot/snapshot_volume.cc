// SPDX-License-Identifier: MIT
#include "snapshot/snapshot_volume.h"

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>

#include "fs/entry.h"
#include "fs/frozen_state.h"
#include "meta/extent_list.h"

namespace projfs::snapshot {
namespace {

// Entries of a directory are read so many at a time.
constexpr std::size_t kBatch = 256;

fs::PieceKind piece_kind(meta::ExtentKind kind) {
  switch (kind) {
    case meta::ExtentKind::kChunk:
      return fs::PieceKind::kChunk;
    case meta::ExtentKind::kZero:
      return fs::PieceKind::kZero;
    case meta::ExtentKind::kPrealloc:
      break;
  }
  return fs::PieceKind::kPrealloc;
}

}  // namespace

class SnapshotVolume::Use {
 public:
  explicit Use(SnapshotVolume& volume) : lock_(volume.life_), revoked_(volume.revoked_) {}
  [[nodiscard]] Status status() const {
    if (!revoked_) return {};
    return fail(ESTALE, "the snapshot was deleted");
  }

 private:
  std::shared_lock<fs::Quiesce> lock_;
  const bool revoked_;
};

void SnapshotVolume::revoke() {
  const std::unique_lock lock(life_);
  revoked_ = true;
}

Result<meta::InodeRecord> SnapshotVolume::record(Ino ino) {
  PROJFS_ASSIGN(const auto payload, view_.get(meta::inode_key(project_->number(), ino)));
  if (!payload) return fail(ESTALE);
  auto record = meta::InodeRecord::decode(*payload);
  if (!record) return fail(EIO, "an inode record of a snapshot does not decode");
  return std::move(*record);
}

Result<Attr> SnapshotVolume::attributes(Ino ino) {
  if (const auto head = engine_.inodes.peek(project_->number(), ino)) {
    const std::shared_lock lock(head->mutex);
    if (!head->gone) {
      if (const auto state = fs::state_at(*head, view_.epoch()); state && state->attr)
        return *state->attr;
    }
  }
  PROJFS_ASSIGN(const auto found, record(ino));
  return fs::attr_of(ino, found);
}

Result<Attr> SnapshotVolume::getattr(Ino ino) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  return attributes(ino);
}

Result<Attr> SnapshotVolume::lookup(Ino parent, std::string_view name) {
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  const Use use(*this);
  PROJFS_TRY(use.status());
  PROJFS_ASSIGN(const auto dir, record(parent));
  if (!S_ISDIR(dir.mode)) return fail(ENOTDIR);
  if (name == ".") return attributes(parent);
  if (name == "..") return attributes(dir.parent);
  const auto hash = fs::name_hash(project_->name_seed(), name);
  PROJFS_ASSIGN(const auto payload,
                view_.get(meta::entry_key(project_->number(), parent, hash, name)));
  if (!payload) return fail(ENOENT);
  PROJFS_ASSIGN(const auto entry, fs::parse_entry(*payload));
  return attributes(entry.ino);
}

Result<std::string> SnapshotVolume::readlink(Ino ino) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  PROJFS_ASSIGN(auto found, record(ino));
  if (!S_ISLNK(found.mode)) return fail(EINVAL);
  return std::move(found.target);
}

Status SnapshotVolume::readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  PROJFS_ASSIGN(const auto found, record(dir));
  if (!S_ISDIR(found.mode)) return fail(ENOTDIR);
  if (cookie < 1 && !sink({".", dir, S_IFDIR, 1}, nullptr)) return {};
  if (cookie < 2 && !sink({"..", found.parent, S_IFDIR, 2}, nullptr)) return {};

  struct Listed {
    std::string name;
    fs::Entry entry;
    std::uint64_t hash;
  };
  const auto end = meta::end_key(project_->number(), dir, meta::Kind::kEntry);
  std::uint64_t from = cookie < 4 ? 0 : cookie + 1;
  while (true) {
    std::vector<Listed> batch;
    bool more = false;
    PROJFS_TRY(view_.scan(meta::seek_key(project_->number(), dir, meta::Kind::kEntry, from), end,
                          [&](std::string_view raw, std::string_view payload) -> Result<bool> {
                            meta::ParsedKey key;
                            if (!meta::parse_key(raw, key)) return fail(EIO, "a key is damaged");
                            // A batch does not end between two names with the same hash: they are
                            // told apart only here.
                            more = batch.size() >= kBatch && batch.back().hash != key.number();
                            if (more) return false;
                            PROJFS_ASSIGN(const auto entry, fs::parse_entry(payload));
                            batch.push_back({std::string(key.name()), entry, key.number()});
                            return true;
                          }));
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto& e = batch[i];
      const bool last = i + 1 == batch.size() || batch[i + 1].hash != e.hash;
      const DirEntry out{e.name, e.entry.ino, e.entry.type, last ? e.hash : e.hash - 1};
      Attr attr;
      if (want_attr) {
        PROJFS_ASSIGN(attr, attributes(e.entry.ino));
      }
      if (!sink(out, want_attr ? &attr : nullptr)) return {};
    }
    if (!more) return {};
    from = batch.back().hash + 1;
  }
}

Result<std::string> SnapshotVolume::getxattr(Ino ino, std::string_view name) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  PROJFS_ASSIGN(const auto found, record(ino));
  if ((found.flags & meta::InodeRecord::kHasXattrs) == 0) return fail(ENODATA);
  PROJFS_ASSIGN(auto value, view_.get(meta::xattr_key(project_->number(), ino, name)));
  if (!value) return fail(ENODATA);
  return std::move(*value);
}

Result<std::vector<std::string>> SnapshotVolume::listxattr(Ino ino) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  PROJFS_ASSIGN(const auto found, record(ino));
  std::vector<std::string> names;
  if ((found.flags & meta::InodeRecord::kHasXattrs) == 0) return names;
  PROJFS_TRY(view_.scan(meta::key_of(project_->number(), ino, meta::Kind::kXattr),
                        meta::end_key(project_->number(), ino, meta::Kind::kXattr),
                        [&](std::string_view raw, std::string_view) -> Result<bool> {
                          meta::ParsedKey key;
                          if (meta::parse_key(raw, key)) names.emplace_back(key.name());
                          return true;
                        }));
  return names;
}

// The extents of the index as of the snapshot.
Status SnapshotVolume::walk(Ino ino, std::uint64_t begin, std::uint64_t end,
                            const fs::PieceVisitor& visit) {
  const auto number = project_->number();
  const auto segment = [&](std::uint64_t index, std::string_view payload) -> Result<bool> {
    const auto list = meta::ExtentList::decode(payload);
    if (!list) return fail(EIO, "a file map segment of a snapshot does not decode");
    const auto base = index * meta::kSegmentBytes;
    for (const auto& e : list->extents()) {
      const auto from = std::max(begin, base + e.offset);
      const auto to = std::min(end, base + e.end());
      if (from >= to) continue;
      fs::Piece p{from, to, piece_kind(e.kind)};
      if (e.kind == meta::ExtentKind::kChunk) {
        p.chunk = e.chunk;
        p.offset = e.chunk_offset + static_cast<std::uint32_t>(from - base - e.offset);
      }
      if (!visit(p)) return false;
    }
    return true;
  };
  const auto first = begin / meta::kSegmentBytes;
  const auto last = (end - 1) / meta::kSegmentBytes;
  if (last - first < 2) {
    for (auto index = first; index <= last; ++index) {
      PROJFS_ASSIGN(const auto payload, view_.get(meta::map_key(number, ino, index)));
      if (!payload) continue;
      PROJFS_ASSIGN(const bool more, segment(index, *payload));
      if (!more) return {};
    }
    return {};
  }
  return view_.scan(meta::seek_key(number, ino, meta::Kind::kMap, first),
                    meta::seek_key(number, ino, meta::Kind::kMap, last + 1),
                    [&](std::string_view raw, std::string_view payload) -> Result<bool> {
                      meta::ParsedKey key;
                      if (!meta::parse_key(raw, key)) return fail(EIO, "a key is damaged");
                      return segment(key.number(), payload);
                    });
}

Result<std::uint64_t> SnapshotVolume::pieces(Ino ino, std::uint64_t begin, std::uint64_t end,
                                             const fs::PieceVisitor& visit,
                                             const std::function<Status()>& done) {
  // Memory first: what is ingested meanwhile is then found in the index.
  if (const auto head = engine_.inodes.peek(project_->number(), ino)) {
    const std::shared_lock lock(head->mutex);
    const auto state = head->gone ? std::nullopt : fs::state_at(*head, view_.epoch());
    if (state) {
      end = std::min(end, fs::block_ceil(state->size));
      if (begin < end) {
        PROJFS_TRY(fs::for_each_piece(
            *project_, ino, *state->overlay, head->record.allocated != 0, begin, end,
            [&](const fs::Piece& p) { return p.kind == fs::PieceKind::kHole || visit(p); }));
      }
      if (done) PROJFS_TRY(done());
      return state->size;
    }
  }
  PROJFS_ASSIGN(const auto found, record(ino));
  if (S_ISDIR(found.mode)) return fail(EISDIR);
  if (!S_ISREG(found.mode)) return fail(EINVAL);
  end = std::min(end, fs::block_ceil(found.size));
  if (begin < end) PROJFS_TRY(walk(ino, begin, end, visit));
  if (done) PROJFS_TRY(done());
  return found.size;
}

Result<bool> SnapshotVolume::with_extents(Ino ino, std::uint64_t begin, std::uint64_t end,
                                          const fs::PieceVisitor& visit,
                                          const std::function<Status(std::uint64_t size)>& use) {
  const Use mine(*this);
  PROJFS_TRY(mine.status());
  // No lock of the inode may be held while `use` takes those of another, or of this one's head.
  if (const auto head = engine_.inodes.peek(project_->number(), ino)) {
    const std::shared_lock lock(head->mutex);
    if (!head->gone && fs::state_at(*head, view_.epoch())) return false;
  }
  PROJFS_ASSIGN(const auto found, record(ino));
  if (S_ISDIR(found.mode)) return fail(EISDIR);
  if (!S_ISREG(found.mode)) return fail(EINVAL);
  end = std::min(end, fs::block_ceil(found.size));
  if (begin < end) PROJFS_TRY(walk(ino, begin, end, visit));
  PROJFS_TRY(use(found.size));
  return true;
}

Result<std::size_t> SnapshotVolume::read(Ino ino, std::uint64_t offset, MutableBytes out) {
  const Use use(*this);
  PROJFS_TRY(use.status());
  std::memset(out.data(), 0, out.size());
  std::vector<fs::Piece> found;
  PROJFS_ASSIGN(const auto size, pieces(
                                     ino, offset, offset + out.size(),
                                     [&](const fs::Piece& p) {
                                       found.push_back(p);
                                       return true;
                                     },
                                     [&] { return fs::read_pieces(engine_, found, offset, out); }));
  if (offset >= size) return 0;
  return std::min<std::uint64_t>(out.size(), size - offset);
}

Result<std::uint64_t> SnapshotVolume::seek(Ino ino, std::uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return fail(EINVAL);
  const Use use(*this);
  PROJFS_TRY(use.status());
  const auto begin = fs::block_floor(offset);
  // A block that holds any data is data as a whole.
  std::optional<std::uint64_t> answer;
  std::uint64_t data_end = begin;  // blocks before this hold data
  PROJFS_ASSIGN(const auto size, pieces(ino, begin, fs::kEndOfRange, [&](const fs::Piece& p) {
                  if (p.kind == fs::PieceKind::kPrealloc) return true;
                  const auto from = fs::block_floor(p.begin);
                  if (whence == SEEK_DATA) {
                    answer = std::max(from, offset);
                    return false;
                  }
                  if (from > data_end) {
                    answer = data_end;
                    return false;
                  }
                  data_end = std::max(data_end, fs::block_ceil(p.end));
                  return true;
                }));
  if (offset >= size) return fail(ENXIO);
  if (whence == SEEK_DATA) {
    if (!answer || *answer >= size) return fail(ENXIO);
    return *answer;
  }
  return std::min(std::max(answer.value_or(data_end), offset), size);
}

Status SnapshotVolume::fsync(Ino /*ino*/, bool /*data_only*/) {
  return {};  // durable since it was made
}

Result<VolumeSpace> SnapshotVolume::space() {
  VolumeSpace out;
  out.total_bytes = logical_bytes_;
  return out;
}

}  // namespace projfs::snapshot
