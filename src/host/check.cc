// SPDX-License-Identifier: MIT
//
// Recomputes every counter, link count and reference from the records of one consistent view of the
// index, while the store is in use, and names what disagrees. Memory: a few bytes for each
// directory entry and inode of the largest project.
#include <sys/stat.h>
#include <algorithm>
#include <tuple>

#include "base/frozen_index.h"
#include "fs/acl.h"
#include "fs/file_map.h"
#include "host/base_check.h"
#include "host/local_store.h"
#include "meta/cursor.h"
#include "meta/extent_list.h"
#include "snapshot/history_check.h"

namespace projfs::host {
namespace {

using meta::InodeRecord;
using meta::Kind;

constexpr std::size_t kMostProblems = 1000;

class ProjectCheck {
 public:
  ProjectCheck(Database& db, const rocksdb::Snapshot* at, meta::ProjectNo number, std::string id,
               std::shared_ptr<meta::Lineage> lineage, CheckReport& report)
      : db_(db),
        at_(at),
        number_(number),
        id_(std::move(id)),
        head_(db, meta::kHead, std::move(lineage), at),
        report_(report) {}

  Status run() {
    meta::Cursor at(head_, meta::project_prefix(number_), meta::project_prefix(number_ + 1));
    for (; at.valid(); at.next()) {
      meta::ParsedKey key;
      if (!meta::parse_key(at.key(), key)) {
        problem("a metadata record does not decode");
        continue;
      }
      if (key.ino != current_.ino) finish_inode();
      current_.ino = key.ino;
      take(key, at.value().payload);
    }
    if (!at.status()) {
      problem(at.status().error().describe());
      return {};
    }
    finish_inode();
    compare_links();
    PROJFS_TRY(snapshot::check_history(db_, at_, number_,
                                       [this](const std::string& what) { problem(what); }));
    return compare_counters();
  }

 private:
  struct Current {  // the inode whose records are being read
    Ino ino = 0;
    std::optional<InodeRecord> record;
    std::uint64_t allocated = 0, counted_to = 0, entries = 0, xattr_bytes = 0;
    bool any_xattr = false, access_acl = false, default_acl = false, capability = false;
    bool has_hole = false;
    std::uint64_t data_end = 0;
  };
  struct Link {  // an entry that names `ino`
    Ino ino;
    Ino dir;
    std::uint64_t hash;  // of the name
    std::uint32_t type;
    [[nodiscard]] auto place() const { return std::tuple(ino, dir, hash); }
  };
  struct Node {
    Ino ino;
    Ino parent;
    std::uint64_t name_hash;
    std::uint32_t mode, nlink, flags;
  };

  void problem(const std::string& what) {
    if (report_.problems.size() < kMostProblems)
      report_.problems.push_back("project " + id_ + ": " + what);
  }
  [[nodiscard]] static std::string name_of(Ino ino) { return "inode " + std::to_string(ino); }

  void take(const meta::ParsedKey& key, std::string_view payload) {
    switch (key.kind) {
      case Kind::kInode:
        current_.record = InodeRecord::decode(payload);
        if (!current_.record) problem("the record of " + name_of(key.ino) + " does not decode");
        break;
      case Kind::kMap:
        take_map(key, payload);
        break;
      case Kind::kEntry: {
        Reader in(payload);
        const Ino target = in.varint();
        const auto type = static_cast<std::uint32_t>(in.u8()) << 12;
        if (!in.done()) problem("an entry of " + name_of(key.ino) + " does not decode");
        links_.push_back({target, key.ino, key.number(), type});
        ++current_.entries;
        ++report_.entries;
        break;
      }
      case Kind::kXattr:
        current_.any_xattr = true;
        current_.xattr_bytes += key.name().size() + payload.size();
        if (key.name() == fs::kAccessAclName) current_.access_acl = true;
        if (key.name() == fs::kDefaultAclName) current_.default_acl = true;
        if (key.name() == "security.capability") current_.capability = true;
        break;
      case Kind::kName: {
        Reader in(key.rest);
        const Ino dir = in.be64();
        names_.push_back({key.ino, dir, in.be64(), 0});
        break;
      }
      case Kind::kOrphan:
        orphans_.push_back(key.number());
        break;
      default:
        problem("a record of " + name_of(key.ino) + " has an unknown kind");
    }
  }

  void take_map(const meta::ParsedKey& key, std::string_view payload) {
    const auto list = meta::ExtentList::decode(payload);
    if (!list || list->empty()) {
      problem("a map segment of " + name_of(key.ino) + " does not decode");
      return;
    }
    const auto base = key.number() * meta::kSegmentBytes;
    std::uint64_t at = 0;
    for (const auto& e : list->extents()) {
      ++report_.extents;
      if (e.offset < at) problem("extents of " + name_of(key.ino) + " overlap");
      at = e.end();
      const auto from = std::max(current_.counted_to, fs::block_floor(base + e.offset));
      const auto to = fs::block_ceil(base + e.end());
      if (from > current_.counted_to) current_.has_hole = true;
      if (to > from) current_.allocated += to - from;
      current_.counted_to = std::max(current_.counted_to, to);
      if (e.kind == meta::ExtentKind::kChunk) current_.data_end = base + e.end();
    }
  }

  void finish_inode() {
    const auto c = std::exchange(current_, {});
    if (c.ino == 0) return;  // the orphan list
    if (!c.record) {
      problem("there are records of " + name_of(c.ino) + " but no inode");
      return;
    }
    const auto& r = *c.record;
    ++report_.inodes;
    ++inodes_;
    bytes_ += r.allocated + c.xattr_bytes;
    nodes_.push_back({c.ino, r.parent, r.name_hash, r.mode, r.nlink, r.flags});
    const auto expect = [&](bool ok, const std::string& what) {
      if (!ok) problem(name_of(c.ino) + ": " + what);
    };
    // An unlinked file whose extents are being given back has fewer than its record says.
    const bool partly_gone = r.nlink == 0 && c.allocated <= r.allocated;
    expect(c.allocated == r.allocated || partly_gone,
           "its extents take " + std::to_string(c.allocated) + " bytes, its record says " +
               std::to_string(r.allocated));
    const bool beyond = c.counted_to > fs::block_ceil(r.size);
    const bool hole = c.has_hole || (S_ISREG(r.mode) && c.counted_to < fs::block_ceil(r.size));
    if (!partly_gone || c.allocated == r.allocated) {
      expect((r.flags & InodeRecord::kSparse) != 0 || (!hole && !beyond),
             "it has holes or reserved blocks but is not marked sparse");
    }
    expect(c.data_end <= fs::block_ceil(r.size), "it holds data beyond its end");
    expect(S_ISREG(r.mode) || c.allocated == 0, "it is no regular file but holds data");
    expect(S_ISDIR(r.mode) || c.entries == 0, "it is no directory but holds entries");
    expect(!S_ISDIR(r.mode) || r.entries == c.entries, "it has " + std::to_string(c.entries) +
                                                           " entries, its record says " +
                                                           std::to_string(r.entries));
    const auto flag = [&](std::uint32_t f) { return (r.flags & f) != 0; };
    expect(flag(InodeRecord::kHasXattrs) || !c.any_xattr, "it has unmarked extended attributes");
    expect(flag(InodeRecord::kAccessAcl) == c.access_acl, "its access ACL mark is wrong");
    expect(flag(InodeRecord::kDefaultAcl) == c.default_acl, "its default ACL mark is wrong");
    expect(flag(InodeRecord::kCapability) == c.capability, "its capability mark is wrong");
  }

  void compare_links() {
    std::sort(links_.begin(), links_.end(),
              [](const Link& a, const Link& b) { return a.place() < b.place(); });
    // The places that the inodes with many names know of must be those of the links.
    auto named = names_.begin();
    std::sort(orphans_.begin(), orphans_.end());
    // nodes_ is sorted already: keys are in the order of inode numbers.
    std::vector<std::uint32_t> subdirectories(nodes_.size(), 0);
    auto link = links_.begin();
    std::vector<std::uint32_t> names(nodes_.size(), 0);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto& node = nodes_[i];
      while (link != links_.end() && link->ino < node.ino) dangling(*link++);
      for (; link != links_.end() && link->ino == node.ino; ++link) {
        ++names[i];
        if (link->type != (node.mode & S_IFMT))
          problem("an entry of " + name_of(link->dir) + " has another type than " +
                  name_of(node.ino));
        bool known = node.parent == link->dir && node.name_hash == link->hash;
        if ((node.flags & InodeRecord::kManyNames) != 0) {
          known = named != names_.end() && named->place() == link->place();
          if (known) ++named;
        }
        if (!known)
          problem(name_of(node.ino) + " does not know that it has a name in " + name_of(link->dir));
        if (S_ISDIR(node.mode)) {
          const auto parent = find_node(link->dir);
          if (parent != nodes_.end())
            ++subdirectories[static_cast<std::size_t>(parent - nodes_.cbegin())];
        }
      }
    }
    while (link != links_.end()) dangling(*link++);
    if (named != names_.end())
      problem(name_of(named->ino) + " knows of a name that it does not have in " +
              name_of(named->dir));
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto& node = nodes_[i];
      const bool listed = std::binary_search(orphans_.begin(), orphans_.end(), node.ino);
      if (listed != (node.nlink == 0))
        problem(name_of(node.ino) + " has " + std::to_string(node.nlink) + " links and is " +
                (listed ? "" : "not ") + "listed as unlinked");
      std::uint32_t expected = names[i];
      if (S_ISDIR(node.mode)) {
        const std::uint32_t wanted = node.ino == kRootIno || node.nlink == 0 ? 0 : 1;
        if (names[i] != wanted)
          problem("directory " + name_of(node.ino) + " has " + std::to_string(names[i]) + " names");
        expected = node.nlink == 0 ? 0 : 2 + subdirectories[i];
      }
      if (node.nlink != expected)
        problem(name_of(node.ino) + " should have " + std::to_string(expected) +
                " links, its record says " + std::to_string(node.nlink));
    }
    for (const Ino ino : orphans_) {
      if (find_node(ino) == nodes_.end())
        problem("unlinked " + name_of(ino) + " is listed but does not exist");
    }
    if (nodes_.empty() || nodes_[0].ino != kRootIno) problem("it has no root directory");
  }

  [[nodiscard]] std::vector<Node>::const_iterator find_node(Ino ino) const {
    const auto at =
        std::lower_bound(nodes_.begin(), nodes_.end(), ino,
                         [](const Node& node, Ino wanted) { return node.ino < wanted; });
    return at != nodes_.end() && at->ino == ino ? at : nodes_.end();
  }

  void dangling(const Link& link) {
    problem("an entry of " + name_of(link.dir) + " names " + name_of(link.ino) +
            ", which does not exist");
  }

  Status compare_counters() {
    PROJFS_ASSIGN(const auto value, db_.get(Family::kCounters, meta::usage_key(number_), at_));
    const auto counters = decode_counters(value.value_or(std::string()));
    if (!counters) {
      problem("its counters do not decode");
      return {};
    }
    const auto compare = [&](std::size_t member, std::uint64_t found, const char* what) {
      const auto says = (*counters)[member];
      if (says != static_cast<std::int64_t>(found))
        problem(std::string(what) + " in use: " + std::to_string(found) + ", the counter says " +
                std::to_string(says));
    };
    compare(meta::kUsedBytes, bytes_, "bytes");
    compare(meta::kUsedInodes, inodes_, "inodes");
    return {};
  }

  Database& db_;
  const rocksdb::Snapshot* at_;
  const meta::ProjectNo number_;
  const std::string id_;
  const meta::View head_;
  CheckReport& report_;
  Current current_;
  std::vector<Node> nodes_;
  std::vector<Link> links_;
  std::vector<Link> names_;  // as the inodes with many of them say; in the order of the keys
  std::vector<Ino> orphans_;
  std::uint64_t bytes_ = 0, inodes_ = 0;
};

// Every chunk that a map segment refers to, in heads and history of all projects, also of those
// being removed.
Status each_reference(Database& db, const rocksdb::Snapshot* at,
                      const ChunkStore::ReferenceSink& sink) {
  for (const Family family : {Family::kLive, Family::kHistory}) {
    const auto it = db.scan(family, nullptr, at);
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      meta::ParsedKey key;
      if (!meta::parse_key(it->key().ToStringView(), key) || key.kind != Kind::kMap) continue;
      const auto live = meta::decode_live(it->value().ToStringView());
      const auto list = live ? meta::ExtentList::decode(live->payload) : std::nullopt;
      if (!list) continue;  // reported with its project
      for (const auto& e : list->extents()) {
        if (e.kind == meta::ExtentKind::kChunk) sink(e.chunk);
      }
    }
    PROJFS_TRY(from_rocksdb(it->status(), "counting references"));
  }
  return {};
}

}  // namespace

Result<CheckReport> LocalStore::check(bool read_data, const std::function<void(double)>& progress) {
  const auto report_progress = [&](double part) {
    if (progress) progress(part);
  };
  CheckReport report;
  const FrozenIndex snapshot(*db_);
  std::vector<std::pair<meta::ProjectNo, std::string>> projects;
  {
    const std::string begin = "project.id/", end = "project.id0";
    const rocksdb::Slice upper(end);
    const auto it = db_->scan(Family::kSystem, &upper, snapshot.get());
    for (it->Seek(begin); it->Valid(); it->Next()) {
      projects.emplace_back(Reader(it->value().ToStringView()).be64(),
                            it->key().ToString().substr(begin.size()));
    }
    PROJFS_TRY(from_rocksdb(it->status(), "listing projects"));
  }
  report.projects = projects.size();
  meta::Lineages lineages(*db_, snapshot.get());
  for (std::size_t i = 0; i < projects.size(); ++i) {
    PROJFS_ASSIGN(const auto lineage, lineages.of(projects[i].first));
    report_progress(0.5 * static_cast<double>(i) / static_cast<double>(projects.size()));
    PROJFS_TRY(
        ProjectCheck(*db_, snapshot.get(), projects[i].first, projects[i].second, lineage, report)
            .run());
  }
  PROJFS_TRY(check_bases(*db_, snapshot.get(), lineages, [&](const std::string& what) {
    if (report.problems.size() < kMostProblems) report.problems.push_back(what);
  }));
  report_progress(0.5);
  PROJFS_ASSIGN(const auto chunk_problems, chunks_->check(
                                               snapshot.get(),
                                               [&](const ChunkStore::ReferenceSink& sink) {
                                                 return each_reference(*db_, snapshot.get(), sink);
                                               },
                                               read_data));
  for (const auto& p : chunk_problems) report.problems.push_back(p.what);
  report.chunks = chunks_->stats().chunks;
  report_progress(1);
  return report;
}

}  // namespace projfs::host
