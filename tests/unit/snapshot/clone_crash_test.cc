// SPDX-License-Identifier: MIT
//
// Power that fails in the middle of a rollback, of making a clone, and of making one independent.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <filesystem>
#include <functional>

#include "projfs/store.h"
#include "support/fault_env.h"
#include "support/fault_rocks_env.h"
#include "support/temp_dir.h"
#include "tree_text.h"

namespace projfs::snapshot {
namespace {

class CloneCrashTest : public ::testing::Test {
 protected:
  void SetUp() override {
    open(true);
    ProjectSpec spec;
    spec.id = "p";
    ASSERT_TRUE(store_->create(spec));
    volume_ = *store_->volume("p");
    for (int i = 0; i < 150; ++i) write(i, "first");
    ASSERT_TRUE((*store_->snapshots("p"))->create("one", false));
    then_ = text("p");
    for (int i = 0; i < 150; ++i) {
      write(i, "second, longer");
      if (i % 3 == 0) {
        ASSERT_TRUE(volume_->unlink(kRootIno, name(i)));
      }
      if (i % 5 == 0) write(1000 + i, "new");
    }
    ASSERT_TRUE(store_->ingest_all());
    late_ = text("p");
    ASSERT_TRUE(store_->sync());
  }
  void TearDown() override {
    volume_.reset();
    store_.reset();
  }

  static std::string name(int i) { return "f" + std::to_string(i); }
  void write(int i, const std::string& data) {
    auto found = volume_->lookup(kRootIno, name(i));
    if (!found) found = volume_->mknod(kRootIno, name(i), S_IFREG | 0644, 0, {});
    ASSERT_TRUE(found);
    ASSERT_TRUE(volume_->write(found->ino, 0, as_bytes(data), false));
  }
  std::string text(const std::string& id) {
    const auto volume = store_->volume(id);
    EXPECT_TRUE(volume) << volume.error().describe();
    return volume ? testing::tree_text(**volume) : std::string();
  }
  void open(bool create) {
    env_ = std::make_unique<testing::FaultEnv>(Env::posix(), dir_.path());
    database_env_ = std::make_unique<testing::FaultRocksEnv>(*env_);
    const auto where = dir_.path() + "/store";
    if (create) {
      ASSERT_TRUE(Store::init(*env_, where, database_env_->get()));
    }
    Store::Options options;
    options.env = env_.get();
    options.database_env = database_env_->get();
    options.background = false;
    options.reserve_bytes = 1 << 20;
    options.sync_every_ms = 0;
    auto opened = Store::open(where, options);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }
  // Does `work` with the power failing after so many changes; false: it was complete before.
  bool interrupted(std::uint64_t after, const std::function<void()>& work) {
    env_->power_off_after(after);
    work();
    const bool cut = !env_->powered();
    env_->crash(after,
                after % 2 == 0 ? testing::CrashMode::kDropUnsynced : testing::CrashMode::kRandom);
    volume_.reset();
    store_.reset();
    open(false);
    return cut;
  }
  void expect_sound() {
    const auto report = store_->check(true, {});
    ASSERT_TRUE(report) << report.error().describe();
    for (const auto& p : report->problems) ADD_FAILURE() << p;
  }

  testing::TempDir dir_;
  std::unique_ptr<testing::FaultEnv> env_;
  std::unique_ptr<testing::FaultRocksEnv> database_env_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;
  std::string then_, late_;
};

TEST_F(CloneCrashTest, ARollbackHappensAsAWholeOrNotAtAll) {
  unsigned undone = 0, completed = 0;
  for (std::uint64_t after = 1;; ++after) {
    SCOPED_TRACE("after " + std::to_string(after));
    const auto before = text("p");
    const auto snapshots = (*store_->snapshots("p"))->list()->size();
    bool answered = false;
    const bool cut = interrupted(
        after, [&] { answered = (*store_->snapshots("p"))->rollback("one", {}).has_value(); });
    const auto now = text("p");
    const auto left = (*store_->snapshots("p"))->list();
    ASSERT_TRUE(left);
    if (left->size() == snapshots) {
      EXPECT_FALSE(answered);
      EXPECT_EQ(now, before);
      ++undone;
    } else {
      EXPECT_EQ(now, then_);
      ++completed;
      // What it was until then is kept; back to it, for the next try.
      const auto kept = (*store_->snapshots("p"))->volume(left->back().number);
      ASSERT_TRUE(kept);
      EXPECT_EQ(testing::tree_text(**kept), before);
      ASSERT_TRUE((*store_->snapshots("p"))->rollback(left->back().name, {}));
      EXPECT_EQ(text("p"), late_);
    }
    expect_sound();
    if (HasFailure()) FAIL();
    if (!cut) break;
  }
  EXPECT_GT(undone, 0u);
  EXPECT_GT(completed, 1u);  // also by the opening that came after
}

TEST_F(CloneCrashTest, ACloneIsThereAsAWholeOrNotAtAll) {
  for (std::uint64_t after = 1;; ++after) {
    SCOPED_TRACE("after " + std::to_string(after));
    bool answered = false;
    volume_ = *store_->volume("p");
    write(1, "staged " + std::to_string(after));
    const auto wanted = text("p");
    ASSERT_TRUE(store_->sync());
    const bool cut =
        interrupted(after, [&] { answered = store_->clone("p", "", "q").has_value(); });
    EXPECT_EQ(text("p"), wanted);
    if (const auto shown = store_->show("q"); shown) {
      EXPECT_EQ(text("q"), wanted);
      ASSERT_TRUE(store_->destroy("q"));
    } else {
      EXPECT_FALSE(answered);
    }
    expect_sound();
    if (HasFailure()) FAIL();
    if (!cut) break;
  }
}

TEST_F(CloneCrashTest, ACloneBecomesIndependentHoweverOftenItIsInterrupted) {
  ASSERT_TRUE(store_->clone("p", "", "q"));
  volume_ = *store_->volume("q");
  // Some of what it inherits has changed or is gone already.
  for (int i = 1; i < 60; i += 3) {
    write(i, "the clone's");
    ASSERT_TRUE(volume_->unlink(kRootIno, name(i + 1)));
  }
  ASSERT_TRUE(store_->ingest_all());
  const auto wanted = text("q");
  ASSERT_TRUE(store_->sync());
  volume_.reset();
  ASSERT_TRUE(store_->destroy("p"));
  unsigned interruptions = 0;
  for (std::uint64_t after = 1; after < 400; after += 3) {
    SCOPED_TRACE("after " + std::to_string(after));
    const bool cut = interrupted(after, [&] { (void)store_->collect_garbage(); });
    EXPECT_EQ(text("q"), wanted);
    expect_sound();
    if (HasFailure()) FAIL();
    if (!cut) break;
    ++interruptions;
  }
  EXPECT_GT(interruptions, 2u);
  ASSERT_TRUE(store_->collect_garbage());
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_FALSE(store_->show("q")->base);
  EXPECT_EQ(text("q"), wanted);
  expect_sound();
}

}  // namespace
}  // namespace projfs::snapshot
