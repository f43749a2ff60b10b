// SPDX-License-Identifier: MIT
#include "snapshot/rollback.h"

#include <set>

#include "fixture.h"

namespace projfs::snapshot {
namespace {

class RollbackTest : public SnapshotTest {
 protected:
  SnapshotInfo rollback(const std::string& name, const Snapshots::Changed& changed = {}) {
    const auto kept = snapshots_->rollback(name, changed);
    EXPECT_TRUE(kept) << kept.error().describe();
    return kept ? *kept : SnapshotInfo{};
  }
};

TEST_F(RollbackTest, TheHeadIsWhatItWasAndWhatItWasUntilThenIsKept) {
  const auto ino = file("a");
  write(ino, 0, noise(5000));
  ASSERT_TRUE(volume_->setxattr(ino, "user.x", "y", 0, false));
  ASSERT_TRUE(volume_->mkdir(kRootIno, "d", 0755, {}));
  const auto then = head_text();
  const auto usage = store_->show("p")->usage;
  create("one");
  write(ino, 2000, noise(3'000'000));
  const auto fresh = file("b");
  ASSERT_TRUE(volume_->rmdir(kRootIno, "d"));
  ASSERT_TRUE(volume_->removexattr(ino, "user.x"));
  const auto late = head_text();
  const auto kept = rollback("one");
  EXPECT_TRUE(kept.name.starts_with("before-rollback-2")) << kept.name;
  EXPECT_FALSE(kept.automatic);
  EXPECT_EQ(head_text(), then);
  EXPECT_EQ(text_of(1), then);
  EXPECT_EQ(text_of(kept.number), late);
  EXPECT_EQ(store_->show("p")->usage.bytes, usage.bytes);
  EXPECT_EQ(store_->show("p")->usage.inodes, usage.inodes);
  EXPECT_EQ(volume_->getattr(fresh).error().code, ESTALE);
  expect_sound();
  reopen();
  EXPECT_EQ(head_text(), then);
  EXPECT_EQ(text_of(kept.number), late);
  // And forward again.
  rollback(kept.name);
  EXPECT_EQ(head_text(), late);
  EXPECT_EQ(snapshots_->list()->size(), 3u);
}

TEST_F(RollbackTest, WhoHasAFileOpenSeesItsOldContentAndCanWriteIt) {
  const auto ino = file("a");
  write(ino, 0, "first");
  create("one");
  write(ino, 0, "second, longer");
  rollback("one");
  std::string data(20, '\0');
  auto n = volume_->read(ino, 0, {reinterpret_cast<std::uint8_t*>(data.data()), data.size()});
  ASSERT_TRUE(n);
  EXPECT_EQ(data.substr(0, *n), "first");
  write(ino, 5, ", third");
  ingest();
  reopen();
  n = volume_->read(ino, 0, {reinterpret_cast<std::uint8_t*>(data.data()), data.size()});
  ASSERT_TRUE(n);
  EXPECT_EQ(data.substr(0, *n), "first, third");
}

TEST_F(RollbackTest, AFileThatWasDeletedIsBackUnderItsNumber) {
  const auto ino = file("a");
  write(ino, 0, noise(100'000));
  const auto then = head_text();
  create("one");
  ASSERT_TRUE(volume_->unlink(kRootIno, "a"));
  ASSERT_EQ(volume_->getattr(ino).error().code, ESTALE);
  rollback("one");
  EXPECT_EQ(head_text(), then);
  const auto other = file("b");
  EXPECT_GT(other, ino);
}

TEST_F(RollbackTest, TellsOfEverythingThatAKernelMayHaveCached) {
  const auto ino = file("a"), same = file("same");
  create("one");
  write(ino, 0, "x");
  ASSERT_TRUE(volume_->rename(kRootIno, "a", kRootIno, "b", 0));
  const auto fresh = file("c");
  std::set<Ino> inodes;
  std::set<std::string> names;
  rollback("one", [&](Ino of, std::string_view name) {
    if (name.empty()) {
      inodes.insert(of);
    } else {
      EXPECT_EQ(of, kRootIno);
      names.emplace(name);
    }
  });
  EXPECT_EQ(inodes, (std::set<Ino>{kRootIno, ino, fresh}));
  EXPECT_FALSE(inodes.contains(same));
  EXPECT_EQ(names, (std::set<std::string>{"a", "b", "c"}));
}

TEST_F(RollbackTest, RefusalsChangeNothing) {
  const auto ino = file("a");
  write(ino, 0, noise(30'000));
  create("one");
  write(ino, 0, noise(30'000));
  ingest();
  const auto text = head_text();
  EXPECT_EQ(snapshots_->rollback("two", {}).error().code, ENOENT);
  Quota quota;
  quota.history_bytes = 1000;
  ASSERT_TRUE(store_->set_quota("p", quota));
  EXPECT_EQ(snapshots_->rollback("one", {}).error().code, EDQUOT);
  EXPECT_EQ(head_text(), text);
  EXPECT_EQ(snapshots_->list()->size(), 1u);
}

TEST_F(RollbackTest, InARandomHistoryEveryTreeAndCounterIsRight) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    rng_.seed(seed + 200);
    std::map<std::uint64_t, std::string> texts;
    const auto present = snapshots_->list();
    ASSERT_TRUE(present);
    for (const auto& s : *present) texts[s.number] = text_of(s.number);
    for (int step = 0; step < 500; ++step) {
      change_something();
      const auto pick = [&] {
        return std::next(texts.begin(), below(static_cast<unsigned>(texts.size())));
      };
      if (below(15) == 0) {
        const auto text = head_text();
        texts[create().number] = text;
      }
      if (below(25) == 0 && !texts.empty()) {
        const auto to = pick();
        const auto name = snapshots_->by_number(to->first);
        ASSERT_TRUE(name);
        const auto before = head_text();
        const auto wanted = to->second;
        texts[rollback(name->name).number] = before;
        ASSERT_EQ(head_text(), wanted) << "step " << step;
      }
      if (below(20) == 0 && texts.size() > 3) {
        const auto victim = pick();
        ASSERT_TRUE(snapshots_->remove(snapshots_->by_number(victim->first)->name));
        texts.erase(victim);
        if (below(2) == 0) {
          ASSERT_TRUE(store_->collect_garbage());
        }
      }
      if (below(30) == 0) ingest();
      if (below(60) == 0) {
        const auto text = head_text();
        reopen();
        ASSERT_EQ(head_text(), text) << "step " << step;
      }
      if (below(60) == 0) {
        expect_sound();
        if (HasFailure()) FAIL() << "step " << step;
      }
    }
    for (const auto& [number, text] : texts) ASSERT_EQ(text_of(number), text) << number;
  }
}

}  // namespace
}  // namespace projfs::snapshot
