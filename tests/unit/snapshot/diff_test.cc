// SPDX-License-Identifier: MIT
#include "snapshot/diff.h"

#include <gmock/gmock.h>
#include <linux/fs.h>
#include <tuple>

#include "fixture.h"

namespace projfs::snapshot {
namespace {

using Kind = Difference::Kind;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// All that a volume holds, found by walking it.
struct Tree {
  struct Node {
    Attr attr;
    std::map<std::string, std::string> xattrs;
    std::string content;  // or a link's target
  };
  std::map<Ino, Node> nodes;
  std::map<std::pair<Ino, std::string>, Ino> entries;
  std::map<Ino, std::string> directories;  // path, with a slash at the end
  std::map<std::string, Ino> paths;

  explicit Tree(Volume& volume) {
    paths["."] = kRootIno;
    directories[kRootIno] = "";
    take(volume, kRootIno);
    walk(volume, kRootIno);
  }
  [[nodiscard]] std::string path(const std::pair<Ino, std::string>& place) const {
    return directories.at(place.first) + place.second;
  }

 private:
  void take(Volume& volume, Ino ino) {
    auto& node = nodes[ino];
    const auto attr = volume.getattr(ino);
    ASSERT_TRUE(attr);
    node.attr = *attr;
    const auto names = volume.listxattr(ino);
    ASSERT_TRUE(names);
    for (const auto& name : *names) node.xattrs[name] = volume.getxattr(ino, name).value();
    if (S_ISLNK(attr->mode)) node.content = volume.readlink(ino).value();
    if (!S_ISREG(attr->mode)) return;
    node.content.resize(attr->size);
    const MutableBytes out(reinterpret_cast<std::uint8_t*>(node.content.data()), attr->size);
    EXPECT_EQ(volume.read(ino, 0, out).value_or(0), attr->size);
  }
  void walk(Volume& volume, Ino dir) {
    std::vector<std::pair<std::string, Ino>> listed;
    EXPECT_TRUE(volume.readdir(dir, 0, false, [&](const DirEntry& e, const Attr*) {
      if (e.name != "." && e.name != "..") listed.emplace_back(e.name, e.ino);
      return true;
    }));
    for (const auto& [name, ino] : listed) {
      entries[{dir, name}] = ino;
      paths[directories[dir] + name] = ino;
      if (!nodes.contains(ino)) take(volume, ino);
      if (!S_ISDIR(nodes[ino].attr.mode)) continue;
      directories[ino] = directories[dir] + name + "/";
      walk(volume, ino);
    }
  }
};

// What a comparison comes to, in a form that does not depend on which of several names of an inode
// is paired with which, or stands for it.
struct Summary {
  std::multiset<std::string> facts;
  std::map<Ino, int> renames;
  friend bool operator==(const Summary&, const Summary&) = default;
};

bool same_mtime(const Attr& a, const Attr& b) {
  return a.mtime.tv_sec == b.mtime.tv_sec && a.mtime.tv_nsec == b.mtime.tv_nsec;
}

// `name`: what is said to differ.
void compare(const Tree::Node& a, const Tree::Node& b, const std::string& name, Summary& out) {
  const bool content = a.content != b.content || a.attr.rdev != b.attr.rdev;
  const bool mode = std::tuple(a.attr.mode, a.attr.uid, a.attr.gid, a.xattrs) !=
                    std::tuple(b.attr.mode, b.attr.uid, b.attr.gid, b.xattrs);
  const bool time = !S_ISDIR(b.attr.mode) && !same_mtime(a.attr, b.attr);
  if (content) out.facts.insert("modified " + name);
  if (mode || (time && !content)) out.facts.insert("metadata " + name);
}

Summary expected(const Tree& a, const Tree& b) {
  Summary out;
  std::map<Ino, std::pair<int, int>> moved;  // names that went and came
  const auto type = [](const Tree& t, Ino ino) { return t.nodes.at(ino).attr.mode & S_IFMT; };
  for (const auto& [place, ino] : a.entries) {
    const auto now = b.entries.find(place);
    if (now != b.entries.end() && now->second == ino) continue;
    if (now != b.entries.end() && !b.nodes.contains(ino) && !a.nodes.contains(now->second) &&
        type(a, ino) == type(b, now->second) && type(a, ino) != S_IFDIR) {
      compare(a.nodes.at(ino), b.nodes.at(now->second), "at " + b.path(place), out);
      continue;
    }
    out.facts.insert("gone " + a.path(place));
    ++moved[ino].first;
  }
  for (const auto& [place, ino] : b.entries) {
    const auto then = a.entries.find(place);
    if (then != a.entries.end() && then->second == ino) continue;
    if (then != a.entries.end() && !b.nodes.contains(then->second) && !a.nodes.contains(ino) &&
        type(a, then->second) == type(b, ino) && type(b, ino) != S_IFDIR)
      continue;
    out.facts.insert("came " + b.path(place));
    ++moved[ino].second;
  }
  for (const auto& [ino, n] : moved) {
    if (const int pairs = std::min(n.first, n.second); pairs != 0) out.renames[ino] = pairs;
  }
  for (const auto& [ino, node] : a.nodes) {
    const auto now = b.nodes.find(ino);
    if (now != b.nodes.end()) compare(node, now->second, "inode " + std::to_string(ino), out);
  }
  return out;
}

Summary found(const std::vector<Difference>& all, const Tree& a, const Tree& b) {
  Summary out;
  for (const auto& d : all) {
    const auto& side = d.kind == Kind::kRemoved ? a : b;
    const auto at = side.paths.find(d.path);
    if (at == side.paths.end()) {
      ADD_FAILURE() << "no such path: " << d.path;
      continue;
    }
    const Ino ino = at->second;
    EXPECT_EQ(d.type, side.nodes.at(ino).attr.mode & S_IFMT) << d.path;
    EXPECT_EQ(d.kind == Kind::kRenamed, !d.old_path.empty());
    const auto name = a.nodes.contains(ino) ? "inode " + std::to_string(ino) : "at " + d.path;
    switch (d.kind) {
      case Kind::kAdded:
        out.facts.insert("came " + d.path);
        break;
      case Kind::kRemoved:
        out.facts.insert("gone " + d.path);
        break;
      case Kind::kRenamed: {
        const auto old = a.paths.find(d.old_path);
        EXPECT_TRUE(old != a.paths.end() && old->second == ino) << d.old_path << " -> " << d.path;
        out.facts.insert("gone " + d.old_path);
        out.facts.insert("came " + d.path);
        ++out.renames[ino];
        break;
      }
      case Kind::kModified:
        out.facts.insert("modified " + name);
        break;
      case Kind::kMetadata:
        out.facts.insert("metadata " + name);
        break;
    }
  }
  return out;
}

class DiffTest : public SnapshotTest {
 protected:
  std::vector<Difference> diff(std::uint64_t from, std::optional<std::uint64_t> to = std::nullopt) {
    std::vector<Difference> all;
    const auto done = snapshots_->diff(from, to,
                                       [&](const Difference& d) {
                                         all.push_back(d);
                                         return true;
                                       },
                                       {});
    EXPECT_TRUE(done) << done.error().describe();
    return all;
  }
  // As lines, each a letter and the path.
  std::vector<std::string> lines(std::uint64_t from,
                                 std::optional<std::uint64_t> to = std::nullopt) {
    std::vector<std::string> out;
    for (const auto& d : diff(from, to)) {
      out.push_back(std::string(1, "+-RMm"[static_cast<int>(d.kind)]) + " " +
                    (d.old_path.empty() ? "" : d.old_path + " -> ") + d.path);
    }
    return out;
  }
  Ino directory(const std::string& name, Ino parent = kRootIno) {
    const auto made = volume_->mkdir(parent, name, 0755, {});
    EXPECT_TRUE(made) << made.error().describe();
    return made ? made->ino : 0;
  }
  void rename(const std::string& from, const std::string& to, Ino from_dir = kRootIno,
              Ino to_dir = kRootIno) {
    ASSERT_TRUE(volume_->rename(from_dir, from, to_dir, to, 0));
  }
  void set_mode(Ino ino, std::uint32_t mode) {
    AttrChange change;
    change.mode = mode;
    ASSERT_TRUE(volume_->setattr(ino, change, {}));
  }
};

TEST_F(DiffTest, EveryKindOfChange) {
  const auto dir = directory("dir");
  const auto kept = file("kept"), written = file("written", dir), moved = file("moved", dir);
  for (const auto ino : {kept, written, moved}) write(ino, 0, "first");
  file("removed", dir);
  const auto marked = file("marked");
  create("a");
  EXPECT_THAT(lines(1), IsEmpty());
  write(written, 0, "other");
  rename("moved", "elsewhere", dir);
  ASSERT_TRUE(volume_->unlink(dir, "removed"));
  file("added", dir);
  set_mode(dir, 0700);
  ASSERT_TRUE(volume_->setxattr(marked, "user.x", "y", 0, false));
  const std::vector<std::string> wanted{"M dir/written", "R dir/moved -> elsewhere",
                                        "- dir/removed", "+ dir/added",
                                        "m dir",         "m marked"};
  EXPECT_THAT(lines(1), ::testing::UnorderedElementsAreArray(wanted)) << "what is staged counts";
  ingest();
  EXPECT_THAT(lines(1), ::testing::UnorderedElementsAreArray(wanted));
  create("b");
  EXPECT_THAT(lines(1, 2), ::testing::UnorderedElementsAreArray(wanted));
  EXPECT_THAT(lines(2), IsEmpty());
  EXPECT_THAT(lines(2, 1),
              UnorderedElementsAre("M dir/written", "R elsewhere -> dir/moved", "+ dir/removed",
                                   "- dir/added", "m dir", "m marked"))
      << "from the newer to the older";
  EXPECT_THAT(lines(1, 1), IsEmpty());
}

TEST_F(DiffTest, ADirectoryThatMovesIsOneChange) {
  const auto dir = directory("old");
  const auto inner = directory("inner", dir);
  const auto ino = file("f", inner);
  write(ino, 0, "x");
  create("a");
  rename("old", "new");
  EXPECT_THAT(lines(1), UnorderedElementsAre("R old -> new"));
  write(ino, 0, "y");
  EXPECT_THAT(lines(1), UnorderedElementsAre("R old -> new", "M new/inner/f"));
}

TEST_F(DiffTest, AFileThatIsSavedByReplacingItIsModified) {
  write(file("f"), 0, "before");
  write(file("same"), 0, "content");
  create("a");
  write(file("f.new"), 0, "after!");
  rename("f.new", "f");
  EXPECT_THAT(lines(1), UnorderedElementsAre("M f"));
  write(file("same.new"), 0, "content");
  rename("same.new", "same");
  EXPECT_THAT(lines(1), UnorderedElementsAre("M f", "m same")) << "a new time is all it got";
}

TEST_F(DiffTest, ARenameOverAnotherFile) {
  file("f");
  file("g");
  create("a");
  rename("f", "g");
  EXPECT_THAT(lines(1), UnorderedElementsAre("R f -> g", "- g"));
  EXPECT_EQ(diff(1).size(), 2u);
}

TEST_F(DiffTest, NamesOfOneFile) {
  const auto dir = directory("d");
  const auto ino = file("a");
  create("1");
  ASSERT_TRUE(volume_->link(ino, dir, "b"));
  EXPECT_THAT(lines(1), UnorderedElementsAre("+ d/b"));
  create("2");
  ASSERT_TRUE(volume_->unlink(kRootIno, "a"));
  EXPECT_THAT(lines(2), UnorderedElementsAre("- a"));
  EXPECT_THAT(lines(1), UnorderedElementsAre("R a -> d/b")) << "as mv between file systems does";
  write(ino, 0, "x");
  EXPECT_THAT(lines(2), UnorderedElementsAre("- a", "M d/b")) << "by the name that is left";
  ASSERT_TRUE(volume_->unlink(dir, "b"));
  EXPECT_THAT(lines(2), UnorderedElementsAre("- a", "- d/b"));
  file("c");
  EXPECT_THAT(lines(2), UnorderedElementsAre("- a", "- d/b", "+ c"));
}

TEST_F(DiffTest, WhatCameAndWentBetweenIsNoChange) {
  const auto ino = file("f");
  write(ino, 0, std::string(100'000, 'x'));
  AttrChange times;
  times.mtime = timespec{1'700'000'000, 5};
  ASSERT_TRUE(volume_->setattr(ino, times, {}));
  create("a");
  file("short-lived");
  rename("f", "g");
  write(ino, 50'000, "y");
  create("b");
  ASSERT_TRUE(volume_->unlink(kRootIno, "short-lived"));
  rename("g", "f");
  write(ino, 50'000, "x");
  ASSERT_TRUE(volume_->setattr(ino, times, {}));
  EXPECT_THAT(lines(1), IsEmpty());
  ingest();
  EXPECT_THAT(lines(1), IsEmpty()) << "whatever its extents are";
}

TEST_F(DiffTest, TheRootAndOddTypes) {
  create("a");
  set_mode(kRootIno, 0711);
  ASSERT_TRUE(volume_->symlink(kRootIno, "link", "target", {}));
  ASSERT_TRUE(volume_->mknod(kRootIno, "pipe", S_IFIFO | 0600, 0, {}));
  EXPECT_THAT(lines(1), UnorderedElementsAre("m .", "+ link", "+ pipe"));
  create("b");
  ASSERT_TRUE(volume_->unlink(kRootIno, "link"));
  ASSERT_TRUE(volume_->symlink(kRootIno, "link", "other", {}));
  EXPECT_THAT(lines(2), UnorderedElementsAre("M link"));
  ASSERT_TRUE(volume_->unlink(kRootIno, "pipe"));
  directory("pipe");
  EXPECT_THAT(lines(2), UnorderedElementsAre("M link", "- pipe", "+ pipe")) << "not the same thing";
}

TEST_F(DiffTest, DeletedSnapshotsBetweenLoseNothing) {
  const auto ino = file("f");
  create("a");
  for (int i = 0; i < 8; ++i) {
    write(ino, static_cast<std::uint64_t>(i) * 4096, "x");
    file("n" + std::to_string(i));
    create("between" + std::to_string(i));
  }
  const auto all = lines(1);
  EXPECT_EQ(all.size(), 9u);
  for (const int i : {3, 0, 7, 1, 6, 2, 5, 4}) {
    ASSERT_TRUE(snapshots_->remove("between" + std::to_string(i)));
    EXPECT_THAT(lines(1), ::testing::UnorderedElementsAreArray(all)) << i;
    if (i % 2 == 0) {
      ASSERT_TRUE(store_->collect_garbage());
    }
    EXPECT_THAT(lines(1), ::testing::UnorderedElementsAreArray(all)) << i;
  }
}

TEST_F(DiffTest, ALongListInManyPieces) {
  create("a");
  const auto dir = directory("d");
  for (int i = 0; i < 2500; ++i) file("f" + std::to_string(i), dir);
  create("b");
  for (int i = 0; i < 2500; ++i) ASSERT_TRUE(volume_->unlink(dir, "f" + std::to_string(i)));
  create("c");
  for (int i = 0; i < 60; ++i) {
    file("g" + std::to_string(i), dir);
    create();
  }
  EXPECT_EQ(diff(1, 2).size(), 2501u);
  EXPECT_EQ(diff(2, 3).size(), 2500u);
  EXPECT_EQ(diff(1, 3).size(), 1u);
  EXPECT_EQ(diff(1).size(), 61u);
}

TEST_F(DiffTest, AFileWithVeryManyNamesHasThemAddedAndRemoved) {
  const auto ino = file("f");
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(volume_->link(ino, kRootIno, "l" + std::to_string(i)));
  create("a");
  rename("f", "g");
  EXPECT_THAT(lines(1), UnorderedElementsAre("- f", "+ g"));
}

TEST_F(DiffTest, TheSinkMayStopIt) {
  create("a");
  file("x");
  file("y");
  int calls = 0;
  const auto stopped =
      snapshots_->diff(1, std::nullopt, [&](const Difference&) { return ++calls != 1; }, {});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ECANCELED);
  EXPECT_EQ(calls, 1);
}

TEST_F(DiffTest, ASnapshotDeletedMeanwhileIsAnError) {
  std::vector<Ino> inos;
  for (int i = 0; i < 4; ++i) inos.push_back(file("f" + std::to_string(i)));
  create("a");
  for (const auto ino : inos) write(ino, 0, "x");
  const auto cut = snapshots_->diff(1, std::nullopt,
                                    [&](const Difference&) {
                                      (void)snapshots_->remove("a");
                                      return true;
                                    },
                                    {});
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ESTALE);
  EXPECT_EQ(snapshots_->diff(1, std::nullopt, {}, {}).error().code, ENOENT);
  create("b");
  EXPECT_EQ(snapshots_->diff(2, 9, {}, {}).error().code, ENOENT);
}

// Thousands of random changes, with snapshots made and deleted, data ingested, and restarts: any
// two states differ in just what a walk through both of them finds.
TEST_F(DiffTest, AgreesWithAWalkThroughBothTrees) {
  std::size_t differences = 0, renames = 0;
  for (unsigned seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    rng_.seed(seed + 1000);
    std::vector<std::uint64_t> numbers;
    const auto present = snapshots_->list();
    ASSERT_TRUE(present);
    for (const auto& s : *present) numbers.push_back(s.number);
    const auto any = [&] { return numbers[below(static_cast<unsigned>(numbers.size()))]; };
    for (int step = 0; step < 800; ++step) {
      change_something();
      if (below(15) == 0) numbers.push_back(create().number);
      if (below(30) == 0 && numbers.size() > 4) {
        const auto pick = numbers.begin() + below(static_cast<unsigned>(numbers.size()));
        ASSERT_TRUE(snapshots_->remove(snapshots_->by_number(*pick)->name));
        numbers.erase(pick);
        if (below(2) == 0) {
          ASSERT_TRUE(store_->collect_garbage());
        }
      }
      if (below(40) == 0) ingest();
      if (below(90) == 0) reopen();
      if (below(12) != 0 || numbers.empty()) continue;
      const auto from = any();
      const auto to = below(2) == 0 ? std::optional(any()) : std::nullopt;
      const Tree a(*view(from)), b(to ? *view(*to) : *volume_);
      const auto all = diff(from, to);
      const auto wanted = expected(a, b), got = found(all, a, b);
      ASSERT_EQ(got.facts, wanted.facts)
          << "step " << step << ", " << from << " to " << to.value_or(0);
      ASSERT_EQ(got.renames, wanted.renames) << "step " << step;
      differences += all.size();
      renames += wanted.renames.size();
    }
    expect_sound();
    if (HasFailure()) return;
  }
  EXPECT_GT(differences, 1000u);
  EXPECT_GT(renames, 100u);
}

}  // namespace
}  // namespace projfs::snapshot
