// SPDX-License-Identifier: MIT
#include "snapshot/project_snapshots.h"

#include <atomic>
#include <thread>

#include "fixture.h"

namespace projfs::snapshot {
namespace {

TEST_F(SnapshotTest, HoldsWhatWasThereAndNothingLater) {
  const auto ino = file("a");
  write(ino, 0, "before");
  const auto text = head_text();
  const auto made = create("one");
  EXPECT_EQ(made.number, 1u);
  EXPECT_EQ(text_of(1), text);  // nothing is ingested yet
  write(ino, 0, "after, and longer");
  file("b");
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(volume_->setattr(ino, change, {}));
  EXPECT_EQ(text_of(1), text);
  ingest();
  EXPECT_EQ(text_of(1), text);
  reopen();
  EXPECT_EQ(text_of(1), text);
  EXPECT_NE(head_text(), text);
}

TEST_F(SnapshotTest, StagedDataOfBothSidesOfTheBoundaryIsReplayedIntoItsEpoch) {
  const auto ino = file("a");
  write(ino, 0, std::string(5000, 'x'));
  const auto first = head_text();
  create("one");
  write(ino, 100, std::string(9000, 'y'));
  const auto second = head_text();
  create("two");
  AttrChange change;
  change.size = 50;
  ASSERT_TRUE(volume_->setattr(ino, change, {}));
  ASSERT_TRUE(volume_->setxattr(ino, "user.a", "b", 0, false));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(text_of(1), first);
    EXPECT_EQ(text_of(2), second);
    reopen();
    EXPECT_EQ(text_of(1), first);
    EXPECT_EQ(text_of(2), second);
    ingest();
  }
  EXPECT_EQ(text_of(1), first);
  EXPECT_EQ(text_of(2), second);
}

TEST_F(SnapshotTest, KeepsAFileThatWasUnlinkedWithItsDataStillStaged) {
  const auto ino = file("a");
  write(ino, 0, std::string(5000, 'x'));
  const auto text = head_text();
  create("one");
  ASSERT_TRUE(volume_->unlink(kRootIno, "a"));
  EXPECT_EQ(text_of(1), text);
  reopen();
  EXPECT_EQ(text_of(1), text);
}

TEST_F(SnapshotTest, IsReadOnly) {
  const auto ino = file("a");
  create("one");
  const auto volume = view(1);
  EXPECT_EQ(volume->write(ino, 0, as_bytes("x"), false).error().code, EROFS);
  EXPECT_EQ(volume->unlink(kRootIno, "a").error().code, EROFS);
  EXPECT_EQ(volume->mkdir(kRootIno, "d", 0755, {}).error().code, EROFS);
  EXPECT_EQ(volume->setattr(ino, {}, {}).error().code, EROFS);
}

TEST_F(SnapshotTest, NamesAreChecked) {
  create("one");
  for (const auto& bad : {std::string("."), std::string(".."), std::string("a/b")})
    EXPECT_EQ(snapshots_->create(bad, false).error().code, EINVAL) << bad;
  EXPECT_EQ(snapshots_->create(std::string(256, 'n'), false).error().code, ENAMETOOLONG);
  EXPECT_EQ(snapshots_->create("one", false).error().code, EEXIST);
  EXPECT_EQ(snapshots_->find("two").error().code, ENOENT);
  EXPECT_EQ(snapshots_->rename("two", "three").error().code, ENOENT);
  EXPECT_EQ(snapshots_->by_number(7).error().code, ENOENT);
  EXPECT_EQ(snapshots_->volume(7).error().code, ENOENT);
  EXPECT_EQ(snapshots_->list()->size(), 1u);
}

TEST_F(SnapshotTest, IsNamedRenamedAndHeld) {
  const auto made = snapshots_->create({}, true);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->automatic);
  EXPECT_EQ(made->name.size(), std::string("2026-11-22T18-30-00Z").size()) << made->name;
  const auto again = snapshots_->create({}, true);
  ASSERT_TRUE(again);
  EXPECT_NE(again->name, made->name);
  ASSERT_TRUE(snapshots_->rename(made->name, "mine"));
  ASSERT_TRUE(snapshots_->set_held("mine", true));
  reopen();
  const auto found = snapshots_->find("mine");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->number, 1u);
  EXPECT_FALSE(found->automatic);
  EXPECT_TRUE(found->held);
  EXPECT_EQ(snapshots_->find(made->name).error().code, ENOENT);
  std::vector<std::uint64_t> numbers;
  ASSERT_TRUE(snapshots_->each(1, [&](const SnapshotInfo& s) {
    numbers.push_back(s.number);
    return true;
  }));
  EXPECT_EQ(numbers, std::vector<std::uint64_t>{2});
}

TEST_F(SnapshotTest, KnowsWhetherAnythingChanged) {
  const auto ino = file("a");
  EXPECT_TRUE(*snapshots_->changed());
  write(ino, 0, "x");
  create();
  EXPECT_FALSE(*snapshots_->changed());
  ingest();  // of what belongs to the snapshot
  EXPECT_FALSE(*snapshots_->changed());
  reopen();
  EXPECT_FALSE(*snapshots_->changed());
  write(ino, 0, "y");
  EXPECT_TRUE(*snapshots_->changed());
  reopen();
  EXPECT_TRUE(*snapshots_->changed());
  create();
  EXPECT_FALSE(*snapshots_->changed());
  file("b");
  EXPECT_TRUE(*snapshots_->changed());
}

TEST_F(SnapshotTest, PolicyIsKept) {
  EXPECT_EQ(*snapshots_->policy(), SnapshotPolicy());
  SnapshotPolicy policy;
  policy.every_seconds = 3600;
  policy.keep_weekly = 0;
  policy.off = true;
  ASSERT_TRUE(snapshots_->set_policy(policy));
  reopen();
  EXPECT_EQ(*snapshots_->policy(), policy);
}

// Many writers, each counting upwards in a file of its own, one number after the other has been
// acknowledged: a snapshot holds no less than what was acknowledged before it was asked for, and no
// more than what was begun before it was there.
TEST_F(SnapshotTest, IsAtomicWhileManyWrite) {
  constexpr std::size_t kWriters = 8;
  std::vector<Ino> inos;
  std::array<std::atomic<std::uint64_t>, kWriters> begun{}, done{};
  for (std::size_t i = 0; i < kWriters; ++i) {
    inos.push_back(file("w" + std::to_string(i)));
    const std::uint64_t zero = 0;
    write(inos[i], 0, std::string(reinterpret_cast<const char*>(&zero), 8));
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      for (std::uint64_t n = 1; !stop; ++n) {
        begun[i] = n;
        const std::string data(reinterpret_cast<const char*>(&n), 8);
        if (!volume_->write(inos[i], 0, as_bytes(data), false)) return;
        if (n % 64 == 0 && !volume_->setattr(inos[i], {}, {})) return;
        done[i] = n;
      }
    });
  }
  struct Bounds {
    std::array<std::uint64_t, kWriters> least, most;
  };
  std::vector<Bounds> bounds;
  for (int s = 0; s < 20; ++s) {
    Bounds b{};
    for (std::size_t i = 0; i < kWriters; ++i) b.least[i] = done[i];
    create();
    for (std::size_t i = 0; i < kWriters; ++i) b.most[i] = begun[i];
    bounds.push_back(b);
    if (s % 5 == 4) ingest();
  }
  stop = true;
  for (auto& w : writers) w.join();
  const auto check = [&] {
    for (std::size_t s = 0; s < bounds.size(); ++s) {
      const auto volume = view(s + 1);
      for (std::size_t i = 0; i < kWriters; ++i) {
        std::uint64_t n = 0;
        ASSERT_TRUE(volume->read(inos[i], 0, {reinterpret_cast<std::uint8_t*>(&n), 8}));
        EXPECT_GE(n, bounds[s].least[i]);
        EXPECT_LE(n, bounds[s].most[i]);
      }
    }
  };
  check();
  ingest();
  check();
  const auto pauses = store_->stats().snapshot_pauses;
  EXPECT_EQ(pauses.count, 20u);
  EXPECT_GE(pauses.max_ns, pauses.p50_ns);
}

TEST_F(SnapshotTest, EverySnapshotOfARandomHistoryReadsAsTheHeadDidThen) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    rng_.seed(seed);
    std::map<std::uint64_t, std::string> texts;
    const auto present = snapshots_->list();
    ASSERT_TRUE(present);
    for (const auto& s : *present) texts[s.number] = text_of(s.number);
    for (int step = 0; step < 500; ++step) {
      change_something();
      if (below(12) == 0) {
        const auto text = head_text();
        texts[create().number] = text;
      }
      if (below(40) == 0) ingest();
      if (below(60) == 0) {
        const auto text = head_text();
        reopen();
        ASSERT_EQ(head_text(), text) << "step " << step;
      }
      if (below(10) == 0 && !texts.empty()) {
        const auto pick = std::next(texts.begin(), below(static_cast<unsigned>(texts.size())));
        ASSERT_EQ(text_of(pick->first), pick->second) << "step " << step;
      }
    }
    for (const auto& [number, text] : texts) ASSERT_EQ(text_of(number), text) << number;
    expect_sound();
  }
}

TEST_F(SnapshotTest, AHeldOneIsNotDeleted) {
  create("one");
  ASSERT_TRUE(snapshots_->set_held("one", true));
  EXPECT_EQ(snapshots_->remove("one").error().code, EBUSY);
  EXPECT_EQ(snapshots_->remove("two").error().code, ENOENT);
  ASSERT_TRUE(snapshots_->set_held("one", false));
  const auto volume = view(1);
  ASSERT_TRUE(snapshots_->remove("one"));
  EXPECT_EQ(snapshots_->find("one").error().code, ENOENT);
  EXPECT_EQ(volume->getattr(kRootIno).error().code, ESTALE);
  EXPECT_EQ(create("one").number, 2u);
}

TEST_F(SnapshotTest, AtTheHistoryLimitNoMoreAreMade) {
  Quota quota;
  quota.history_bytes = 100'000;
  ASSERT_TRUE(store_->set_quota("p", quota));
  const auto ino = file("a");
  for (const char* name : {"one", "two", "three", "four"}) {
    write(ino, 0, noise(30'000));
    create(name);
  }
  write(ino, 0, noise(30'000));
  ingest();
  const auto refused = snapshots_->create("five", false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EDQUOT);
  EXPECT_NE(refused.error().message.find("120000 bytes"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("\"one\" (30000 bytes)"), std::string::npos);
  write(ino, 0, "the head goes on");
  ASSERT_TRUE(snapshots_->remove("two"));
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_EQ(store_->show("p")->usage.history_bytes, 90'000u);
  create("five");
}

TEST_F(SnapshotTest, OnePageOfALargeFileIsAllThatASnapshotKeeps) {
  const auto ino = file("a");
  write(ino, 0, noise(1 << 20));
  create("one");
  write(ino, 500'000, noise(4096));
  create("two");
  write(ino, 100'000, noise(4096));
  ingest();
  // Neither holds what the other lacks but for the page that changed after it; deleting the second
  // frees nothing of the first page, which the head has too.
  const auto one = snapshots_->find("one"), two = snapshots_->find("two");
  ASSERT_TRUE(one && two);
  EXPECT_LT(one->freed_if_deleted_bytes, 100'000u);
  EXPECT_GT(one->freed_if_deleted_bytes, 4095u);
  EXPECT_EQ(two->freed_if_deleted_bytes, 0u);
}

// The store closes while history is being removed, again and again: what was done is complete in
// itself, and the rest goes on.
TEST_F(SnapshotTest, DeletionStopsWithTheStoreAndGoesOnAtTheNextOpening) {
  constexpr int kFiles = 600, kSnapshots = 12;
  std::vector<Ino> inos;
  for (int i = 0; i < kFiles; ++i) inos.push_back(file("f" + std::to_string(i)));
  std::map<std::uint64_t, std::string> texts;
  for (int s = 0; s < kSnapshots; ++s) {
    for (const auto ino : inos) write(ino, below(8) * 1000, noise(200));
    ingest();
    const auto made = create();
    if (s % 3 == 0) texts[made.number] = text_of(made.number);
  }
  for (const auto ino : inos) write(ino, 0, noise(200));
  ingest();
  const auto listed = snapshots_->list();
  ASSERT_TRUE(listed);
  for (const auto& s : *listed) {
    if (texts.contains(s.number)) continue;
    options_.background = true;  // history is removed while the store closes
    reopen();
    ASSERT_TRUE(snapshots_->remove(s.name));
    options_.background = false;
    reopen();
    expect_sound();
    if (HasFailure()) return;
  }
  for (const auto& [number, text] : texts) EXPECT_EQ(text_of(number), text) << number;
  const auto before = store_->show("p")->usage.history_bytes;
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_LE(store_->show("p")->usage.history_bytes, before);
  for (const auto& [number, text] : texts) {
    EXPECT_EQ(text_of(number), text) << number;
    ASSERT_TRUE(snapshots_->remove(snapshots_->by_number(number)->name));
  }
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_EQ(store_->show("p")->usage.history_bytes, 0u);
}

// Snapshots made and deleted in random order, with crashes in between and history removed at any
// time: those that are left read as the head did, what a deletion frees is what was said before,
// and the counters agree with the records.
TEST_F(SnapshotTest, DeletionInAnyOrderLeavesTheOthersAndExactCounters) {
  unsigned freed_something = 0;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    rng_.seed(seed + 100);
    std::map<std::uint64_t, std::string> texts;
    const auto present = snapshots_->list();
    ASSERT_TRUE(present);
    for (const auto& s : *present) texts[s.number] = text_of(s.number);
    for (int step = 0; step < 600; ++step) {
      change_something();
      if (below(10) == 0) {
        const auto text = head_text();
        texts[create().number] = text;
      }
      if (below(14) == 0 && texts.size() > 2) {
        const auto pick = std::next(texts.begin(), below(static_cast<unsigned>(texts.size())));
        const bool settled = below(2) == 0;
        if (settled) {
          ASSERT_TRUE(store_->collect_garbage());
        }
        const auto info = snapshots_->by_number(pick->first);
        ASSERT_TRUE(info);
        const auto before = store_->show("p")->usage.history_bytes;
        ASSERT_TRUE(snapshots_->remove(info->name));
        texts.erase(pick);
        if (settled) {
          ASSERT_TRUE(store_->collect_garbage());
          if (info->freed_if_deleted_bytes != 0) ++freed_something;
          ASSERT_EQ(store_->show("p")->usage.history_bytes, before - info->freed_if_deleted_bytes)
              << "step " << step;
        }
      }
      if (below(30) == 0) ingest();
      if (below(80) == 0) reopen();
      if (below(60) == 0) {
        expect_sound();
        if (HasFailure()) FAIL() << "step " << step;
      }
      if (below(10) == 0 && !texts.empty()) {
        const auto pick = std::next(texts.begin(), below(static_cast<unsigned>(texts.size())));
        ASSERT_EQ(text_of(pick->first), pick->second) << "step " << step;
      }
    }
    for (const auto& [number, text] : texts) ASSERT_EQ(text_of(number), text) << number;
  }
  EXPECT_GT(freed_something, 5u);
  const auto left = snapshots_->list();
  ASSERT_TRUE(left);
  for (const auto& s : *left) ASSERT_TRUE(snapshots_->remove(s.name));
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_EQ(store_->show("p")->usage.history_bytes, 0u);
}

}  // namespace
}  // namespace projfs::snapshot
