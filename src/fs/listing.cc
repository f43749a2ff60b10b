// SPDX-License-Identifier: MIT
//
// Directory listing. A directory is ordered by the hash of its names, and the hash is the cookie:
// it stays valid whatever is added or removed meanwhile, also across restarts.
#include <sys/stat.h>

#include "fs/project_volume.h"
#include "meta/cursor.h"

namespace projfs::fs {
namespace {

// Attributes are fetched for so many entries at a time.
constexpr std::size_t kBatch = 64;

struct Listed {
  std::string name;
  Ino ino;
  std::uint32_t type;
  std::uint64_t hash;
};

}  // namespace

Status ProjectVolume::attributes_of(std::span<const Ino> inos, std::vector<Attr>& out) const {
  out.assign(inos.size(), {});
  std::vector<std::size_t> missing;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < inos.size(); ++i) {
    if (const auto cached = engine_.inodes.peek(project_->number(), inos[i])) {
      const std::shared_lock lock(cached->mutex);
      out[i] = cached->attr();
    } else {
      missing.push_back(i);
      keys.push_back(meta::inode_key(project_->number(), inos[i]));
    }
  }
  if (missing.empty()) return {};
  // Listing a large directory must not push the inodes in use out of the cache: records are read
  // past it.
  std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  engine_.db.raw().MultiGet(rocksdb::ReadOptions(), engine_.db.family(Family::kLive), slices.size(),
                            slices.data(), values.data(), statuses.data());
  for (std::size_t k = 0; k < keys.size(); ++k) {
    std::optional<meta::LiveValue> live;
    if (!statuses[k].IsNotFound()) {
      PROJFS_TRY(from_rocksdb(statuses[k], "reading inodes"));
      live = meta::decode_live(values[k].ToStringView());
    } else if (project_->head().base() != nullptr) {
      PROJFS_ASSIGN(live, project_->head().find(keys[k]));
      if (!live) continue;
    } else {
      continue;  // removed meanwhile: ino stays 0
    }
    if (live && live->removed()) continue;
    auto record = live ? meta::InodeRecord::decode(live->payload) : std::nullopt;
    if (!record) return fail(EIO, "an inode record does not decode");
    Inode scratch(project_, inos[missing[k]]);
    scratch.adopt_record(std::move(*record));
    out[missing[k]] = scratch.attr();
  }
  return {};
}

Status ProjectVolume::readdir(Ino dir_ino, std::uint64_t cookie, bool want_attr,
                              const DirSink& sink) {
  PROJFS_ASSIGN(const auto dir, directory(dir_ino));
  if (cookie < 1 && !sink({".", dir_ino, S_IFDIR, 1}, nullptr)) return {};
  if (cookie < 2 &&
      !sink({"..", dir_ino == kRootIno ? kRootIno : dir->record.parent, S_IFDIR, 2}, nullptr))
    return {};

  const auto number = project_->number();
  meta::Cursor at(project_->head(),
                  meta::seek_key(number, dir_ino, meta::Kind::kEntry, cookie < 4 ? 0 : cookie + 1),
                  meta::end_key(number, dir_ino, meta::Kind::kEntry));
  std::vector<Listed> batch;
  std::vector<Attr> attrs;
  while (true) {
    batch.clear();
    // A batch does not end between two names with the same hash: they are told apart only here.
    for (; at.valid(); at.next()) {
      meta::ParsedKey key;
      if (!meta::parse_key(at.key(), key)) return fail(EIO, "a key is damaged");
      const auto hash = key.number();
      if (batch.size() >= kBatch && batch.back().hash != hash) break;
      PROJFS_ASSIGN(const auto entry, parse_entry(at.value().payload));
      batch.push_back({std::string(key.name()), entry->ino, entry->type, hash});
    }
    PROJFS_TRY(at.status());
    if (batch.empty()) return {};
    if (want_attr) {
      std::vector<Ino> inos;
      inos.reserve(batch.size());
      for (const auto& e : batch) inos.push_back(e.ino);
      PROJFS_TRY(attributes_of(inos, attrs));
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto& e = batch[i];
      if (want_attr && attrs[i].ino == 0) continue;
      // Resuming after any but the last of a group lists the whole group again rather than losing
      // one.
      const bool last = i + 1 == batch.size() || batch[i + 1].hash != e.hash;
      const DirEntry out{e.name, e.ino, e.type, last ? e.hash : e.hash - 1};
      if (!sink(out, want_attr ? &attrs[i] : nullptr)) return {};
    }
  }
}

}  // namespace projfs::fs
