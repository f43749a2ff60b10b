// SPDX-License-Identifier: MIT
#include "snapshot/diff.h"

#include <sys/stat.h>
#include <algorithm>

#include "meta/project_record.h"
#include "snapshot/changed_keys.h"

namespace projfs::snapshot {
namespace {

using Kind = Difference::Kind;
using meta::InodeRecord;

// A file with more names than this has each of them added or removed, none renamed.
constexpr std::uint32_t kMostNames = 256;
constexpr unsigned kProgressEvery = 1024;  // keys

bool same_owner_and_mode(const Attr& a, const Attr& b) {
  return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid;
}
bool same_mtime(const Attr& a, const Attr& b) {
  return a.mtime.tv_sec == b.mtime.tv_sec && a.mtime.tv_nsec == b.mtime.tv_nsec;
}

}  // namespace

Diff::Diff(const fs::Engine& engine, meta::ProjectNo project, const State& from, const State& to)
    : engine_(engine),
      project_(project),
      older_(std::min(from.epoch, to.epoch)),
      newer_(std::max(from.epoch, to.epoch)),
      staged_(staged_changes(engine, project)),
      frozen_(engine.db),
      lineage_(meta::Lineages(engine.db, frozen_.get()).of(project)),
      from_(engine.db, frozen_, lineage_, project, from),
      to_(engine.db, frozen_, lineage_, project, to),
      content_(project, {*from_.volume, from_.view}, {*to_.volume, to_.view}) {}

Status Diff::run(const Snapshots::DifferenceSink& sink,
                 const std::function<void(double)>& progress) {
  if (older_ == newer_) return {};
  sink_ = &sink;
  PROJFS_TRY(lineage_);
  // Had one of them been deleted before the index was frozen, it would fail from then on.
  PROJFS_TRY(from_.volume->getattr(kRootIno));
  PROJFS_TRY(to_.volume->getattr(kRootIno));
  PROJFS_ASSIGN(const auto numbers,
                engine_.db.get(Family::kSystem, meta::project_ino_key(project_)));
  const auto last_ino = numbers ? Reader(*numbers).varint() : kRootIno;

  const auto staged = staged_.keys(project_);
  ChangedKeys keys(engine_.db, frozen_.get(), project_, older_, newer_, staged);
  PROJFS_TRY(keys.begin());
  for (std::uint64_t n = 0;; ++n) {
    PROJFS_ASSIGN(const auto key, keys.next());
    if (!key) break;
    PROJFS_TRY(visit(*key));
    if (progress && n % kProgressEvery == 0)
      progress(static_cast<double>(current_.ino) / static_cast<double>(last_ino + 1));
  }
  return finish();
}

Status Diff::emit(Kind kind, std::uint32_t mode, std::string path, std::string old_path) {
  if ((*sink_)({kind, mode & S_IFMT, std::move(path), std::move(old_path)})) return {};
  return fail(ECANCELED, "nobody wants to know any more");
}

Result<bool> Diff::attributes(const Side& side, Ino ino, Attr& attr) const {
  auto found = side.volume->getattr(ino);
  if (!found && found.error().code == ESTALE && side.head) return false;
  PROJFS_TRY(found);
  attr = *found;
  return true;
}

Status Diff::visit(const std::string& key) {
  meta::ParsedKey parsed;
  if (!meta::parse_key(key, parsed)) return fail(EIO, "a list of changes names a damaged key");
  if (parsed.ino != current_.ino) {
    PROJFS_TRY(finish());
    current_ = {};
    current_.ino = parsed.ino;
  }
  switch (parsed.kind) {
    case meta::Kind::kInode:
      return load();
    case meta::Kind::kMap: {
      PROJFS_TRY(load());
      auto& c = current_;
      if (!c.compared || c.content) return {};
      PROJFS_ASSIGN(c.content,
                    content_.segment(c.ino, c.ino, parsed.number(), indexed(c.ino, c.ino)));
      return {};
    }
    case meta::Kind::kXattr: {
      PROJFS_TRY(load());
      if (!current_.compared || current_.xattrs) return {};
      PROJFS_ASSIGN(const auto a, from_.view.get(key));
      PROJFS_ASSIGN(const auto b, to_.view.get(key));
      current_.xattrs = a != b;
      return {};
    }
    case meta::Kind::kEntry:
      return entry(key, parsed);
    case meta::Kind::kName:
    case meta::Kind::kOrphan:
      break;  // what they mean is told by the entries
  }
  return {};
}

Status Diff::load() {
  auto& c = current_;
  if (c.loaded) return {};
  c.loaded = true;
  PROJFS_ASSIGN(const auto a, from_.names.inode(c.ino));
  PROJFS_ASSIGN(auto b, to_.names.inode(c.ino));
  if (!a || !b) return {};  // told by the entries
  PROJFS_ASSIGN(const bool was, attributes(from_, c.ino, c.from));
  PROJFS_ASSIGN(const bool is, attributes(to_, c.ino, c.to));
  c.compared = was && is;
  c.record = *std::move(b);
  c.content = c.from.size != c.to.size;
  return {};
}

Status Diff::finish() {
  auto& c = current_;
  if (!c.compared) return {};
  if (const auto staged = staged_.inodes.find(c.ino); staged != staged_.inodes.end()) {
    for (const auto& [begin, end] : staged->second) {
      if (c.content) break;
      PROJFS_ASSIGN(c.content, content_.range(c.ino, c.ino, begin, end));
    }
  }
  const bool metadata = c.xattrs || !same_owner_and_mode(c.from, c.to) ||
                        (!c.content && !S_ISDIR(c.to.mode) && !same_mtime(c.from, c.to));
  if (!c.content && !metadata) return {};
  PROJFS_ASSIGN(const auto path, to_.names.path(c.ino, c.record));
  if (c.content) PROJFS_TRY(emit(Kind::kModified, c.to.mode, path));
  if (metadata) PROJFS_TRY(emit(Kind::kMetadata, c.to.mode, path));
  return {};
}

Status Diff::entry(const std::string& key, const meta::ParsedKey& parsed) {
  PROJFS_ASSIGN(const auto before, from_.names.entry(key));
  PROJFS_ASSIGN(const auto after, to_.names.entry(key));
  if (before && after && before->ino == after->ino) return {};
  bool still_there = false, was_there = false;
  if (before) {
    PROJFS_ASSIGN(const auto record, to_.names.inode(before->ino));
    still_there = record.has_value();
  }
  if (after) {
    PROJFS_ASSIGN(const auto record, from_.names.inode(after->ino));
    was_there = record.has_value();
  }
  if (before && after && !still_there && !was_there && before->type == after->type &&
      before->type != S_IFDIR)
    return replaced(*before, *after, parsed);
  if (before) PROJFS_TRY(gone(before->ino, still_there, parsed, before->type));
  if (after) PROJFS_TRY(came(after->ino, was_there, parsed, after->type));
  return {};
}

Status Diff::moves_of(Ino ino) {
  if (moves_.ino == ino) return {};
  moves_ = {};
  moves_.ino = ino;
  PROJFS_ASSIGN(const auto a, from_.names.inode(ino));
  PROJFS_ASSIGN(const auto b, to_.names.inode(ino));
  if (!a || !b) return {};
  if (!S_ISDIR(a->mode) && std::max(a->nlink, b->nlink) > kMostNames) return {};
  PROJFS_ASSIGN(const auto before, from_.names.places(ino, *a));
  PROJFS_ASSIGN(const auto after, to_.names.places(ino, *b));
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(moves_.gone));
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(moves_.came));
  return {};
}

Status Diff::gone(Ino ino, bool still_there, const meta::ParsedKey& key, std::uint32_t type) {
  if (still_there) {
    PROJFS_TRY(moves_of(ino));
    const auto& all = moves_.gone;
    const auto at = std::find(all.begin(), all.end(), Place{key.ino, key.number()}) - all.begin();
    if (static_cast<std::size_t>(at) < std::min(all.size(), moves_.came.size())) return {};
  }
  PROJFS_ASSIGN(auto path, from_.names.path(key.ino, key.name()));
  return emit(Kind::kRemoved, type, std::move(path));
}

Status Diff::came(Ino ino, bool was_there, const meta::ParsedKey& key, std::uint32_t type) {
  PROJFS_ASSIGN(auto path, to_.names.path(key.ino, key.name()));
  if (was_there) {
    PROJFS_TRY(moves_of(ino));
    const auto& all = moves_.came;
    const auto at = static_cast<std::size_t>(
        std::find(all.begin(), all.end(), Place{key.ino, key.number()}) - all.begin());
    if (at < std::min(all.size(), moves_.gone.size())) {
      PROJFS_ASSIGN(auto old_path, from_.names.path(ino, moves_.gone[at]));
      return emit(Kind::kRenamed, type, std::move(path), std::move(old_path));
    }
  }
  return emit(Kind::kAdded, type, std::move(path));
}

Status Diff::replaced(const fs::Entry& before, const fs::Entry& after, const meta::ParsedKey& key) {
  Attr a, b;
  PROJFS_ASSIGN(const bool was, attributes(from_, before.ino, a));
  PROJFS_ASSIGN(const bool is, attributes(to_, after.ino, b));
  if (!was || !is) return {};
  PROJFS_ASSIGN(const bool content, other_content(a, b));
  bool metadata = !same_owner_and_mode(a, b) || (!content && !same_mtime(a, b));
  if (!metadata) {
    PROJFS_ASSIGN(metadata, other_xattrs(before.ino, after.ino));
  }
  if (!content && !metadata) return {};
  PROJFS_ASSIGN(const auto path, to_.names.path(key.ino, key.name()));
  if (content) PROJFS_TRY(emit(Kind::kModified, after.type, path));
  if (metadata) PROJFS_TRY(emit(Kind::kMetadata, after.type, path));
  return {};
}

Result<bool> Diff::other_content(const Attr& before, const Attr& after) {
  if (before.size != after.size || before.rdev != after.rdev) return true;
  if (S_ISLNK(before.mode)) {
    PROJFS_ASSIGN(const auto a, from_.volume->readlink(before.ino));
    PROJFS_ASSIGN(const auto b, to_.volume->readlink(after.ino));
    return a != b;
  }
  if (!S_ISREG(before.mode)) return false;
  return content_.whole(before.ino, after.ino, indexed(before.ino, after.ino));
}

Result<bool> Diff::other_xattrs(Ino before, Ino after) {
  const auto all = [](Volume& volume, Ino ino) -> Result<std::map<std::string, std::string>> {
    std::map<std::string, std::string> found;
    PROJFS_ASSIGN(const auto names, volume.listxattr(ino));
    for (const auto& name : names) {
      PROJFS_ASSIGN(found[name], volume.getxattr(ino, name));
    }
    return found;
  };
  PROJFS_ASSIGN(const auto a, all(*from_.volume, before));
  PROJFS_ASSIGN(const auto b, all(*to_.volume, after));
  return a != b;
}

}  // namespace projfs::snapshot
