// SPDX-License-Identifier: MIT
#include <list>

#include "fixture.h"

namespace projfs::snapshot {
namespace {

class ClonesTest : public SnapshotTest {
 protected:
  // A project under test; the fixture's own is one of them.
  struct Member {
    std::string id;
    std::shared_ptr<Volume> volume;
    std::shared_ptr<Snapshots> snapshots;
    std::map<std::uint64_t, std::string> texts;  // of its snapshots
  };

  Member member(const std::string& id) {
    Member made;
    made.id = id;
    const auto volume = store_->volume(id);
    EXPECT_TRUE(volume) << volume.error().describe();
    const auto snapshots = store_->snapshots(id);
    EXPECT_TRUE(snapshots) << snapshots.error().describe();
    if (volume) made.volume = *volume;
    if (snapshots) made.snapshots = *snapshots;
    return made;
  }
  Member clone(const std::string& source, const std::string& snapshot, const std::string& id) {
    const auto made = store_->clone(source, snapshot, id);
    EXPECT_TRUE(made) << made.error().describe();
    return member(id);
  }
  static std::string text(const Member& m) { return testing::tree_text(*m.volume); }
  void garbage() {
    const auto done = store_->collect_garbage();
    ASSERT_TRUE(done) << done.error().describe();
  }
  bool has_base(const std::string& id) { return store_->show(id)->base.has_value(); }
  // A tree with a file of every kind of content, and something in every kind of record.
  void fill() {
    const auto dir = volume_->mkdir(kRootIno, "d", 0755, {});
    ASSERT_TRUE(dir);
    const auto a = file("a"), b = file("b", dir->ino);
    write(a, 0, noise(3'500'000));
    write(b, 900'000, noise(300'000));
    ASSERT_TRUE(volume_->setxattr(a, "user.x", "y", 0, false));
    ASSERT_TRUE(volume_->setxattr(dir->ino, "user.d", noise(50), 0, false));
    ASSERT_TRUE(volume_->symlink(dir->ino, "s", "target", {}));
    ASSERT_TRUE(volume_->link(b, kRootIno, "hard"));
    ASSERT_TRUE(volume_->fallocate(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 70'000));
  }
};

TEST_F(ClonesTest, AreTheSameTreeAndShareAllOfIt) {
  fill();
  const auto text = head_text();
  const auto before = store_->show("p")->usage;
  const auto q = clone("p", "", "q");  // what is staged is in it
  EXPECT_EQ(this->text(q), text);
  EXPECT_EQ(head_text(), text);
  EXPECT_EQ(store_->show("q")->usage.bytes, before.bytes);
  EXPECT_EQ(store_->show("q")->usage.inodes, before.inodes);
  EXPECT_EQ(store_->show("q")->usage.history_bytes, 0u);
  EXPECT_TRUE(q.snapshots->list()->empty());
  EXPECT_TRUE(snapshots_->list()->empty());  // what keeps the base is not shown
  ingest();
  const auto stored = store_->status();
  ASSERT_TRUE(stored);
  garbage();  // stands on its own now
  EXPECT_FALSE(has_base("q"));
  EXPECT_EQ(this->text(q), text);
  EXPECT_EQ(store_->status()->chunks, stored->chunks);
  EXPECT_EQ(store_->show("p")->usage.history_bytes, 0u);
}

TEST_F(ClonesTest, AreIndependentBothWays) {
  fill();
  create("one");
  const auto text = head_text();
  auto q = clone("p", "one", "q");
  EXPECT_TRUE(has_base("q"));
  EXPECT_EQ(store_->show("q")->base->project, "p");
  const auto ino = volume_->lookup(kRootIno, "a")->ino;
  ASSERT_TRUE(q.volume->write(ino, 100, as_bytes("changed in the clone"), false));
  ASSERT_TRUE(q.volume->unlink(kRootIno, "hard"));
  ASSERT_TRUE(q.volume->removexattr(ino, "user.x"));
  EXPECT_EQ(head_text(), text);
  EXPECT_EQ(text_of(1), text);
  const auto changed = this->text(q);
  EXPECT_NE(changed, text);
  ASSERT_TRUE(volume_->unlink(kRootIno, "a"));
  AttrChange cut;
  cut.size = 10;
  ASSERT_TRUE(volume_->setattr(volume_->lookup(kRootIno, "hard")->ino, cut, {}));
  EXPECT_EQ(this->text(q), changed);
  // A new file never gets the number of one on the other side.
  const auto fresh = q.volume->mknod(kRootIno, "new", S_IFREG | 0644, 0, {});
  ASSERT_TRUE(fresh);
  EXPECT_EQ(volume_->getattr(fresh->ino).error().code, ESTALE);
  ingest();
  expect_sound();
}

TEST_F(ClonesTest, OutliveTheSnapshotAndTheProjectTheyComeFrom) {
  fill();
  const auto text = head_text();
  create("one");
  const auto q = clone("p", "one", "q");
  const auto ino = volume_->lookup(kRootIno, "a")->ino;
  write(ino, 0, noise(2'000'000));
  ingest();
  EXPECT_EQ(snapshots_->find("one")->freed_if_deleted_bytes, 0u);  // the clone keeps it
  ASSERT_TRUE(snapshots_->remove("one"));
  EXPECT_EQ(snapshots_->find("one").error().code, ENOENT);
  EXPECT_EQ(create("one").number, 2u);  // the name is free
  EXPECT_EQ(this->text(q), text);
  expect_sound();
  const auto r = clone("q", "", "r");
  snapshots_.reset();
  volume_.reset();
  ASSERT_TRUE(store_->destroy("p"));
  EXPECT_EQ(this->text(q), text);
  EXPECT_EQ(this->text(r), text);
  EXPECT_EQ(store_->show("q")->base->project, "");
  expect_sound();
  garbage();
  garbage();  // the project that nobody needs any more
  EXPECT_FALSE(has_base("q"));
  EXPECT_EQ(this->text(q), text);
  EXPECT_EQ(this->text(r), text);
  ProjectSpec spec;
  spec.id = "p";
  ASSERT_TRUE(store_->create(spec));
  attach();
}

TEST_F(ClonesTest, AChainIsKeptShort) {
  fill();
  const auto text = head_text();
  create("s");
  std::list<Member> all;
  std::string source = "p";
  for (int i = 0; i < 7; ++i) {
    all.push_back(clone(source, "s", "c" + std::to_string(i)));
    ASSERT_EQ(this->text(all.back()), text);
    source = all.back().id;
    ASSERT_TRUE(all.back().snapshots->create("s", false));
  }
  garbage();
  int without = 0;
  for (auto& m : all) {
    EXPECT_EQ(this->text(m), text) << m.id;
    without += has_base(m.id) ? 0 : 1;
  }
  EXPECT_GE(without, 1);
  EXPECT_LT(without, 7);  // those whose base somebody keeps anyway share it
}

TEST_F(ClonesTest, ThatShareAKeyShareTheirChunks) {
  ProjectSpec spec;
  spec.id = "secret";
  spec.dedup = DedupMode::kProject;
  ASSERT_TRUE(store_->create(spec));
  auto s = member("secret");
  const auto ino = s.volume->mknod(kRootIno, "f", S_IFREG | 0644, 0, {})->ino;
  const auto data = noise(200'000);
  ASSERT_TRUE(s.volume->write(ino, 0, as_bytes(data), false));
  auto t = clone("secret", "", "t");
  EXPECT_EQ(store_->show("t")->dedup, DedupMode::kProject);
  const auto chunks = store_->status()->chunks;
  const auto again = t.volume->mknod(kRootIno, "g", S_IFREG | 0644, 0, {})->ino;
  ASSERT_TRUE(t.volume->write(again, 0, as_bytes(data), false));
  ingest();
  EXPECT_EQ(store_->status()->chunks, chunks);
}

TEST_F(ClonesTest, UnlinkedOpenFilesOfTheSourceAreNobodysInTheClone) {
  const auto ino = file("a");
  write(ino, 0, noise(20'000));
  const auto lost = volume_->tmpfile(kRootIno, 0600, {});
  ASSERT_TRUE(lost);
  ASSERT_TRUE(volume_->write(lost->ino, 0, as_bytes(noise(50'000)), false));
  const auto q = clone("p", "", "q");
  EXPECT_EQ(store_->show("q")->usage.inodes, 3u);
  expect_sound();
  q.volume->forget(lost->ino);
  EXPECT_EQ(store_->show("q")->usage.inodes, 2u);
  EXPECT_EQ(store_->show("p")->usage.inodes, 3u);
  volume_->forget(lost->ino);
}

// The snapshot counts them as they were when it was made, so all of that has to be in it.
TEST_F(ClonesTest, UnlinkedOpenFilesThatWereStagedWhenASnapshotWasMadeAreWholeInAClone) {
  const auto before = volume_->tmpfile(kRootIno, 0600, {});
  const auto both = volume_->tmpfile(kRootIno, 0600, {});
  ASSERT_TRUE(before && both);
  ASSERT_TRUE(volume_->write(before->ino, 0, as_bytes(noise(50'000)), false));
  ASSERT_TRUE(volume_->write(both->ino, 0, as_bytes(noise(50'000)), false));
  const auto used = store_->show("p")->usage.bytes;
  create("one");
  ASSERT_TRUE(volume_->write(both->ino, 50'000, as_bytes(noise(50'000)), false));
  volume_->forget(before->ino);
  volume_->forget(both->ino);
  EXPECT_EQ(store_->show("p")->usage.bytes, 0u);
  clone("p", "one", "q");
  EXPECT_EQ(store_->show("q")->usage.bytes, used);
  ingest();
  expect_sound();
}

TEST_F(ClonesTest, RefusalsChangeNothing) {
  create("one");
  EXPECT_EQ(store_->clone("nobody", "", "q").error().code, ENOENT);
  EXPECT_EQ(store_->clone("p", "two", "q").error().code, ENOENT);
  EXPECT_EQ(store_->clone("p", "one", "p").error().code, EEXIST);
  EXPECT_EQ(store_->clone("p", "one", "../q").error().code, EINVAL);
  EXPECT_EQ(store_->clone("P", "one", "q").error().code, EINVAL);
  EXPECT_EQ(store_->list()->size(), 1u);
  EXPECT_EQ(store_->show("p")->epoch, 2u);
}

TEST_F(ClonesTest, QuotaAndPolicyAreTheSourcesAndItsOwn) {
  Quota quota;
  quota.bytes = 1 << 20;
  ASSERT_TRUE(store_->set_quota("p", quota));
  SnapshotPolicy policy;
  policy.off = true;
  ASSERT_TRUE(snapshots_->set_policy(policy));
  auto q = clone("p", "", "q");
  EXPECT_EQ(store_->show("q")->quota.bytes, quota.bytes);
  EXPECT_TRUE(q.snapshots->policy()->off);
  ASSERT_TRUE(store_->set_quota("q", {}));
  EXPECT_EQ(store_->show("p")->quota.bytes, quota.bytes);
  const auto ino = file("a");
  EXPECT_EQ(volume_->write(ino, 0, as_bytes(noise(2 << 20)), false).error().code, EDQUOT);
}

// The number of records written does not depend on the number of files.
TEST_F(ClonesTest, CostTheSameWhateverThereIsToCopy) {
  const auto written = [&] { return store_->stats().records_written; };
  std::vector<std::uint64_t> clones, rollbacks;
  unsigned made = 0;
  for (const unsigned files : {100u, 3000u}) {
    for (; made < files; ++made) write(file("f" + std::to_string(made)), 0, "x");
    ingest();
    const auto target = create();
    write(volume_->lookup(kRootIno, "f7")->ino, 0, "y");
    ingest();
    auto before = written();
    ASSERT_TRUE(store_->clone("p", "", "c" + std::to_string(files)));
    clones.push_back(written() - before);
    before = written();
    ASSERT_TRUE(snapshots_->rollback(target.name, {}));
    rollbacks.push_back(written() - before);
  }
  EXPECT_EQ(clones[0], clones[1]);
  EXPECT_EQ(rollbacks[0], rollbacks[1]);
  EXPECT_LT(clones[0], 20u);
  EXPECT_LT(rollbacks[0], 40u);
}

// A family of projects, each cloned from another, that change, make and delete snapshots, roll back
// and are destroyed in random order, with restarts and background work in between: every tree is
// what it should be, and every counter.
TEST_F(ClonesTest, AFamilyAtRandom) {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    rng_.seed(seed + 300);
    std::list<Member> all;
    all.push_back(member("p"));
    const auto let_go = [&] {
      for (auto& m : all) {
        m.volume.reset();
        m.snapshots.reset();
      }
      volume_.reset();
      snapshots_.reset();
    };
    const auto pick = [&] {
      return std::next(all.begin(), below(static_cast<unsigned>(all.size())));
    };
    unsigned made = 0;
    for (int step = 0; step < 500; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      auto& m = *pick();
      volume_ = m.volume;
      snapshots_ = m.snapshots;
      for (int i = 0; i < 3; ++i) change_something();
      const auto a_snapshot = [&] {
        return std::next(m.texts.begin(), below(static_cast<unsigned>(m.texts.size())));
      };
      const auto dice = below(60);
      if (dice < 5) {
        const auto now = text(m);
        m.texts[create().number] = now;
      } else if (dice < 8 && m.texts.size() > 2) {
        const auto victim = a_snapshot();
        ASSERT_TRUE(snapshots_->remove(snapshots_->by_number(victim->first)->name));
        m.texts.erase(victim);
      } else if (dice < 10 && !m.texts.empty()) {
        const auto to = a_snapshot();
        const auto wanted = to->second, now = text(m);
        const auto kept = snapshots_->rollback(snapshots_->by_number(to->first)->name, {});
        ASSERT_TRUE(kept) << kept.error().describe();
        m.texts[kept->number] = now;
        ASSERT_EQ(text(m), wanted);
      } else if (dice < 16 && all.size() < 6) {
        const auto id = "c" + std::to_string(seed) + "-" + std::to_string(++made);
        if (m.texts.empty() || below(2) == 0) {
          const auto wanted = text(m);
          all.push_back(clone(m.id, "", id));
          ASSERT_EQ(text(all.back()), wanted);
        } else {
          const auto from = a_snapshot();
          all.push_back(clone(m.id, snapshots_->by_number(from->first)->name, id));
          ASSERT_EQ(text(all.back()), from->second);
        }
      } else if (dice < 18 && all.size() > 2 && m.id != "p") {
        const auto id = m.id;
        all.remove_if([&](const Member& other) { return other.id == id; });
        volume_.reset();
        snapshots_.reset();
        const auto destroyed = store_->destroy(id);
        ASSERT_TRUE(destroyed) << destroyed.error().describe();
      } else if (dice < 21) {
        ingest();
      } else if (dice < 24) {
        std::vector<std::string> before;
        for (const auto& other : all) before.push_back(text(other));
        garbage();
        auto wanted = before.begin();
        for (const auto& other : all) ASSERT_EQ(text(other), *wanted++) << other.id;
      } else if (dice < 26) {
        std::vector<std::string> before;
        for (const auto& other : all) before.push_back(text(other));
        let_go();
        store_.reset();
        open();
        auto wanted = before.begin();
        for (auto& other : all) {
          auto texts = std::move(other.texts);
          other = member(other.id);
          other.texts = std::move(texts);
          ASSERT_EQ(text(other), *wanted++) << other.id;
        }
      } else if (dice < 28) {
        expect_sound();
        if (HasFailure()) FAIL();
      } else {
        auto& other = *pick();
        if (other.texts.empty()) continue;
        const auto at =
            std::next(other.texts.begin(), below(static_cast<unsigned>(other.texts.size())));
        const auto volume = other.snapshots->volume(at->first);
        ASSERT_TRUE(volume);
        ASSERT_EQ(testing::tree_text(**volume), at->second) << other.id;
      }
    }
    expect_sound();
    for (auto& m : all) {
      if (m.id == "p") continue;
      m.volume.reset();
      m.snapshots.reset();
      volume_.reset();
      snapshots_.reset();
      ASSERT_TRUE(store_->destroy(m.id));
    }
    all.clear();
    attach();
    const auto left = snapshots_->list();
    ASSERT_TRUE(left);
    for (const auto& s : *left) ASSERT_TRUE(snapshots_->remove(s.name));
    garbage();
    garbage();
    EXPECT_EQ(store_->show("p")->usage.history_bytes, 0u);
    expect_sound();
  }
}

}  // namespace
}  // namespace projfs::snapshot
