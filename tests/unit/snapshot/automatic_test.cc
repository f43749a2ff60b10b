// SPDX-License-Identifier: MIT
#include "snapshot/automatic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "host/text.h"

namespace projfs::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kPeriod = 900'000;
constexpr std::int64_t kNsPerMs = 1'000'000;

class FakeHost final : public Automatic::Host {
 public:
  struct Project {
    bool changed = false, full = false;
    std::optional<std::int64_t> period = kPeriod;
    std::vector<std::string> snapshots;
    std::set<std::string> taken;
    int pruned = 0, looked_at = 0;
  };

  Result<std::optional<std::int64_t>> period_ms(const std::string& id) override {
    if (!projects.contains(id)) return fail(ENOENT);
    return projects[id].period;
  }
  Result<bool> changed(const std::string& id) override {
    if (!projects.contains(id)) return fail(ENOENT);
    ++projects[id].looked_at;
    return projects[id].changed;
  }
  Status make(const std::string& id, const std::string& name) override {
    auto& p = projects[id];
    if (p.full) return fail(EDQUOT, "history is full");
    if (broken) return fail(EIO, "broken");
    if (!p.taken.insert(name).second) return fail(EEXIST);
    p.snapshots.push_back(name);
    p.changed = false;
    return {};
  }
  Status prune(const std::string& id, const std::function<bool()>&) override {
    ++projects[id].pruned;
    if (prune_frees) projects[id].full = false;
    return {};
  }
  std::int64_t steady_ms() override { return steady; }
  std::int64_t wall_ns() override { return wall + steady * kNsPerMs; }

  std::map<std::string, Project> projects;
  std::int64_t steady = 1'000'000'000;
  std::int64_t wall = *parse_rfc3339("2026-11-22T00:00:00Z") - steady * kNsPerMs;
  bool broken = false, prune_frees = false;
};

class AutomaticTest : public ::testing::Test {
 protected:
  // As the daemon would over that time: wakes exactly when told to.
  void pass(std::int64_t ms) {
    const auto end = host.steady + ms;
    for (;;) {
      const auto next = automatic.step();
      if (!next || *next > end) break;
      host.steady = std::max(host.steady, *next);
    }
    host.steady = end;
    automatic.step();
  }
  void change(const std::string& id) {
    host.projects[id].changed = true;
    automatic.signal(id)->raise();
  }

  FakeHost host;
  Automatic automatic{host};
};

TEST_F(AutomaticTest, AChangeIsInASnapshotWithinAPeriod) {
  host.projects["a"];
  auto held = automatic.signal("a");
  pass(3 * kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, IsEmpty());
  EXPECT_EQ(host.projects["a"].looked_at, 0) << "nobody looks at an idle project";
  change("a");
  pass(kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
  EXPECT_EQ(host.projects["a"].pruned, 1);
  EXPECT_THAT(host.projects["a"].snapshots[0], ::testing::StartsWith("2026-11-22T0"));
  EXPECT_EQ(automatic.queued(), 0u);
  pass(3 * kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
}

TEST_F(AutomaticTest, OneSnapshotAPeriodHoweverOftenItChanges) {
  host.projects["a"];
  auto held = automatic.signal("a");
  for (int i = 0; i < 900; ++i) {
    change("a");
    pass(kPeriod / 90);
  }
  EXPECT_GE(host.projects["a"].snapshots.size(), 9u);
  EXPECT_LE(host.projects["a"].snapshots.size(), 11u);
}

TEST_F(AutomaticTest, AfterAMountOnlyWhatChangedGetsOne) {
  host.projects["idle"];
  host.projects["changed"].changed = true;
  automatic.look_at("idle");
  automatic.look_at("changed");
  pass(kPeriod);
  EXPECT_THAT(host.projects["idle"].snapshots, IsEmpty());
  EXPECT_EQ(host.projects["idle"].looked_at, 1);
  EXPECT_THAT(host.projects["changed"].snapshots, SizeIs(1));
}

TEST_F(AutomaticTest, AWallClockThatJumpsChangesNamesOnly) {
  host.projects["a"];
  auto held = automatic.signal("a");
  change("a");
  pass(kPeriod);
  host.wall += 365ll * 86'400'000 * kNsPerMs;
  change("a");
  pass(kPeriod);
  ASSERT_THAT(host.projects["a"].snapshots, SizeIs(2)) << "neither a storm nor a gap";
  EXPECT_THAT(host.projects["a"].snapshots[1], ::testing::StartsWith("2027-11-22T0"));
  host.wall -= 365ll * 86'400'000 * kNsPerMs;
  change("a");
  pass(kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(3));
}

// As after a daemon that was down: nobody knows which of them changed.
TEST_F(AutomaticTest, TenThousandProjectsAreLookedAtOnceAndTheIdleOnesNeverAgain) {
  constexpr int kProjects = 10'000;
  std::vector<std::shared_ptr<ChangeSignal>> held;
  for (int i = 0; i < kProjects; ++i) {
    const auto id = std::to_string(i);
    host.projects[id].changed = i % 100 == 0;
    held.push_back(automatic.signal(id));
    automatic.look_at(id);
  }
  std::size_t made = 0, most = 0;
  const auto count = [&] {
    std::size_t n = 0;
    for (const auto& [id, p] : host.projects) n += p.snapshots.size();
    return n;
  };
  for (int tenth = 0; tenth < 10; ++tenth) {
    pass(kPeriod / 10);
    most = std::max(most, count() - made);
    made = count();
  }
  EXPECT_EQ(made, kProjects / 100u);
  EXPECT_LT(most, 40u) << "spread over the period";
  EXPECT_EQ(automatic.queued(), 0u);
  pass(3 * kPeriod);
  change("7");
  pass(kPeriod);
  EXPECT_EQ(count(), made + 1);
  for (const auto& [id, p] : host.projects) {
    ASSERT_EQ(p.looked_at, id == "7" ? 2 : 1) << id;
    ASSERT_LE(p.snapshots.size(), 1u) << id;
  }
}

TEST_F(AutomaticTest, ANameLivedTwiceGetsANumber) {
  host.projects["a"];
  auto held = automatic.signal("a");
  change("a");
  pass(kPeriod);
  host.wall -= kPeriod * kNsPerMs;  // the same second again, a period later
  change("a");
  pass(kPeriod);
  const auto& names = host.projects["a"].snapshots;
  ASSERT_THAT(names, SizeIs(2));
  EXPECT_EQ(names[1], names[0] + "-2");
}

TEST_F(AutomaticTest, AtTheHistoryQuotaTheyAreSkippedAndPruningGoesOn) {
  host.projects["a"].full = true;
  auto held = automatic.signal("a");
  change("a");
  pass(kPeriod);
  EXPECT_EQ(automatic.skipped("a"), "history is full");
  EXPECT_EQ(host.projects["a"].pruned, 1);
  pass(kPeriod);
  EXPECT_EQ(host.projects["a"].pruned, 2) << "tried again in the next period";
  host.projects["a"].full = false;
  pass(kPeriod);
  EXPECT_FALSE(automatic.skipped("a"));
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
}

TEST_F(AutomaticTest, PruningMayMakeTheRoom) {
  host.projects["a"].full = true;
  host.prune_frees = true;
  auto held = automatic.signal("a");
  change("a");
  pass(kPeriod);
  EXPECT_FALSE(automatic.skipped("a"));
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
}

TEST_F(AutomaticTest, AFailureIsTriedAgain) {
  host.projects["a"];
  host.broken = true;
  auto held = automatic.signal("a");
  change("a");
  pass(kPeriod);
  EXPECT_TRUE(automatic.skipped("a"));
  host.broken = false;
  pass(kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
  EXPECT_FALSE(automatic.skipped("a"));
}

TEST_F(AutomaticTest, PoliciesAreTurnedOffOnAndChanged) {
  host.projects["a"].period.reset();
  auto held = automatic.signal("a");
  change("a");
  pass(3 * kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, IsEmpty());
  EXPECT_EQ(automatic.queued(), 0u);
  host.projects["a"].period = 60'000;
  automatic.look_at("a");
  pass(60'000);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1)) << "what changed meanwhile is not missed";
  change("a");
  host.projects["a"].period.reset();
  automatic.look_at("a");
  pass(kPeriod);
  EXPECT_THAT(host.projects["a"].snapshots, SizeIs(1));
}

TEST_F(AutomaticTest, DestroyedProjectsAreForgotten) {
  host.projects["a"];
  change("a");
  automatic.step();
  EXPECT_EQ(automatic.queued(), 1u);
  host.projects.erase("a");
  pass(kPeriod);
  EXPECT_EQ(automatic.queued(), 0u);
  EXPECT_FALSE(automatic.skipped("a"));
}

TEST_F(AutomaticTest, TheThreadStopsWhateverIsQueued) {
  host.projects["a"];
  change("a");
  automatic.start();
  automatic.look_at("nobody");
  automatic.stop();
  EXPECT_THAT(host.projects["a"].snapshots, IsEmpty());
}

}  // namespace
}  // namespace projfs::snapshot
