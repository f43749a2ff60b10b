// SPDX-License-Identifier: MIT
#include "snapshot/tree_names.h"

#include <algorithm>

namespace projfs::snapshot {
namespace {

constexpr std::size_t kRemembered = 8 << 20;  // bytes of paths
constexpr std::size_t kDeepest = 1 << 20;     // deeper than this is a circle

tl::unexpected<Error> torn(Ino ino) {
  return fail(EIO, "inode " + std::to_string(ino) + " is not where its record says");
}

}  // namespace

Result<std::optional<meta::InodeRecord>> TreeNames::inode(Ino ino) const {
  PROJFS_ASSIGN(const auto payload, view_.get(meta::inode_key(project_, ino)));
  if (!payload) return std::optional<meta::InodeRecord>();
  auto record = meta::InodeRecord::decode(*payload);
  if (!record) return fail(EIO, "the record of inode " + std::to_string(ino) + " does not decode");
  if (record->nlink == 0) return std::optional<meta::InodeRecord>();
  return record;
}

Result<std::optional<fs::Entry>> TreeNames::entry(std::string_view key) const {
  PROJFS_ASSIGN(const auto payload, view_.get(key));
  if (!payload) return std::optional<fs::Entry>();
  PROJFS_ASSIGN(const auto entry, fs::parse_entry(*payload));
  return std::optional<fs::Entry>(entry);
}

Result<std::vector<Place>> TreeNames::places(Ino ino, const meta::InodeRecord& record) const {
  if ((record.flags & meta::InodeRecord::kManyNames) == 0)
    return std::vector<Place>{{record.parent, record.name_hash}};
  std::vector<Place> found;
  PROJFS_TRY(view_.scan(meta::key_of(project_, ino, meta::Kind::kName),
                        meta::end_key(project_, ino, meta::Kind::kName),
                        [&](std::string_view raw, std::string_view) -> Result<bool> {
                          meta::ParsedKey key;
                          if (!meta::parse_key(raw, key)) return fail(EIO, "a key is damaged");
                          Reader in(key.rest);
                          const Ino dir = in.be64();
                          found.push_back({dir, in.be64()});
                          return true;
                        }));
  return found;
}

Result<std::string> TreeNames::name_at(Ino ino, Place place) const {
  std::string name;
  PROJFS_TRY(view_.scan(meta::seek_key(project_, place.dir, meta::Kind::kEntry, place.hash),
                        meta::seek_key(project_, place.dir, meta::Kind::kEntry, place.hash + 1),
                        [&](std::string_view raw, std::string_view payload) -> Result<bool> {
                          meta::ParsedKey key;
                          if (!meta::parse_key(raw, key)) return fail(EIO, "a key is damaged");
                          PROJFS_ASSIGN(const auto entry, fs::parse_entry(payload));
                          if (entry.ino == ino) name = key.name();
                          return name.empty();
                        }));
  if (name.empty()) return torn(ino);
  return name;
}

Result<std::string> TreeNames::directory(Ino dir) {
  std::vector<std::pair<Ino, std::string>> missing;  // the deepest first
  Ino at = dir;
  std::string path;
  for (; at != kRootIno;) {
    if (const auto known = directories_.find(at); known != directories_.end()) {
      path = known->second;
      break;
    }
    if (missing.size() == kDeepest) return torn(dir);
    PROJFS_ASSIGN(const auto record, inode(at));
    if (!record) return torn(at);
    PROJFS_ASSIGN(auto name, name_at(at, {record->parent, record->name_hash}));
    missing.emplace_back(at, std::move(name));
    at = record->parent;
  }
  for (auto m = missing.rbegin(); m != missing.rend(); ++m) {
    path += m->second + "/";
    if (remembered_ > kRemembered) {
      directories_.clear();
      remembered_ = 0;
    }
    remembered_ += path.size() + sizeof *m;
    directories_[m->first] = path;
  }
  return path;
}

Result<std::string> TreeNames::path(Ino dir, std::string_view name) {
  PROJFS_ASSIGN(auto path, directory(dir));
  return path.append(name);
}

Result<std::string> TreeNames::path(Ino ino, Place place) {
  PROJFS_ASSIGN(const auto name, name_at(ino, place));
  return path(place.dir, name);
}

Result<std::string> TreeNames::path(Ino ino, const meta::InodeRecord& record) {
  if (ino == kRootIno) return std::string(".");
  PROJFS_ASSIGN(const auto found, places(ino, record));
  if (found.empty()) return torn(ino);
  return path(ino, found.front());
}

}  // namespace projfs::snapshot
