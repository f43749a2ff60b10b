// SPDX-License-Identifier: MIT
//
// Starting, stopping and saving on a real store and mounts in memory.
#include "host/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <filesystem>
#include <fstream>

#include "host/admin_service.h"
#include "meta/project_record.h"
#include "projfs/database.h"
#include "support/fake_mounter.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LifecycleTest : public ::testing::Test {
 protected:
  LifecycleTest() {
    EXPECT_TRUE(Store::init(Env::posix(), dir_.path() + "/store"));
    open();
  }

  void open() {
    Store::Options options;
    options.background = false;
    auto opened = Store::open(dir_.path() + "/store", options);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = *std::move(opened);
    mounter_.emplace();
    mounts_.emplace(*store_, *mounter_, root_, dir_.path() + "/mounts.json");
    snapshots_.emplace(*store_, SnapshotPolicy());
    mounts_->compose_with([this](const std::string& id) { return snapshots_->tree(id); });
    lifecycle_.emplace(*store_, *mounts_, *snapshots_, dir_.path() + "/lifecycle");
    lifecycle_->listen([this](const std::string& id, LifeState, const Life& now) {
      heard_.push_back(id + " " + std::string(name_of(now.state)));
    });
  }
  void close() {
    if (mounts_) mounts_->keep_remembering();
    lifecycle_.reset();
    mounter_.reset();  // volumes first
    snapshots_.reset();
    mounts_.reset();
    store_.reset();
  }

  void create(const std::string& id) { ASSERT_TRUE(store_->create({.id = id})); }
  void write_something(const std::string& id) {
    const auto volume = store_->volume(id);
    ASSERT_TRUE(volume);
    ASSERT_TRUE((*volume)->mknod(kRootIno, "f" + std::to_string(++files_), S_IFREG | 0644, 0, {}));
  }
  std::uint64_t snapshots(const std::string& id) { return (*store_->snapshots(id))->count(); }
  // What only a fault of the disk or of this program can do.
  void damage(const std::string& id) {
    const auto number = store_->show(id)->number;
    close();
    auto db = Database::open(dir_.path() + "/store/meta", {});
    ASSERT_TRUE(db);
    rocksdb::WriteBatch batch;
    batch.Put((*db)->family(Family::kSystem), meta::project_key(number), "nonsense");
    ASSERT_TRUE((*db)->commit(batch, true));
    db->reset();
    open();
  }
  LifeState state(const std::string& id) { return lifecycle_->state(id).state; }

  testing::TempDir dir_;
  std::string root_ = dir_.path() + "/projects";
  std::unique_ptr<Store> store_;
  std::optional<testing::FakeMounter> mounter_;
  std::optional<Mounts> mounts_;
  std::optional<SnapshotService> snapshots_;
  std::optional<Lifecycle> lifecycle_;
  std::vector<std::string> heard_;
  int files_ = 0;
};

TEST_F(LifecycleTest, StartAndStop) {
  create("a");
  EXPECT_EQ(state("a"), LifeState::kStopped);
  std::vector<std::string> steps;
  const auto progress = [&](double, const std::string& step) { steps.push_back(step); };
  ASSERT_TRUE(lifecycle_->start("a", {}, progress));
  EXPECT_EQ(state("a"), LifeState::kRunning);
  EXPECT_EQ(mounts_->mountpoint("a"), root_ + "/a");
  EXPECT_THAT(steps, ElementsAre("checking", "mounting"));
  steps.clear();
  ASSERT_TRUE(lifecycle_->stop("a", {}, progress));
  EXPECT_EQ(state("a"), LifeState::kStopped);
  EXPECT_FALSE(mounts_->mountpoint("a"));
  EXPECT_THAT(steps, ElementsAre("unmounting", "syncing"));
  EXPECT_THAT(heard_, ElementsAre("a starting", "a running", "a stopping", "a stopped"));
}

TEST_F(LifecycleTest, DoneTwiceIsAnErrorOnlyForMount) {
  create("a");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  EXPECT_TRUE(lifecycle_->start("a", {.again = true}, {}));
  EXPECT_EQ(lifecycle_->start("a", {}, {}).error().code, EBUSY);
  EXPECT_EQ(state("a"), LifeState::kRunning);
  ASSERT_TRUE(lifecycle_->stop("a", {}, {}));
  EXPECT_TRUE(lifecycle_->stop("a", {.again = true}, {}));
  EXPECT_EQ(lifecycle_->stop("a", {}, {}).error().code, ENOENT);
}

TEST_F(LifecycleTest, AnUnknownProjectLeavesNoTrace) {
  EXPECT_EQ(lifecycle_->start("nobody", {}, {}).error().code, ENOENT);
  EXPECT_EQ(lifecycle_->stop("nobody", {}, {}).error().code, ENOENT);
  EXPECT_EQ(lifecycle_->start("../a", {}, {}).error().code, EINVAL);
  EXPECT_TRUE(heard_.empty());
}

TEST_F(LifecycleTest, AFailedStartSaysWhyAndCanBeRepeated) {
  create("a");
  std::filesystem::create_directories(root_ + "/a");
  std::ofstream(root_ + "/a/in-the-way") << "x";
  ASSERT_FALSE(lifecycle_->start("a", {}, {}));
  const auto life = lifecycle_->state("a");
  EXPECT_EQ(life.state, LifeState::kError);
  ASSERT_TRUE(life.error);
  EXPECT_THAT(*life.error, HasSubstr("is not empty"));
  std::filesystem::remove(root_ + "/a/in-the-way");
  EXPECT_TRUE(lifecycle_->start("a", {}, {}));
  EXPECT_FALSE(lifecycle_->state("a").error);
}

TEST_F(LifecycleTest, ABusyMountStaysUnlessForced) {
  create("a");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  mounter_->in_use.insert("a");
  const auto refused = lifecycle_->stop("a", {}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_THAT(refused.error().message, HasSubstr("in use at " + root_ + "/a"));
  EXPECT_EQ(state("a"), LifeState::kRunning);
  EXPECT_TRUE(lifecycle_->stop("a", {.force = true}, {}));
  EXPECT_EQ(state("a"), LifeState::kStopped);
}

TEST_F(LifecycleTest, AnUnmountFromOutsideIsNoticed) {
  create("a");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  mounter_->unmount_from_outside("a");
  EXPECT_EQ(state("a"), LifeState::kStopped);
  EXPECT_TRUE(lifecycle_->start("a", {}, {}));
}

TEST_F(LifecycleTest, AFinalSnapshotIfAnythingChanged) {
  create("a");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  write_something("a");
  ASSERT_TRUE(lifecycle_->stop("a", {.save = true}, {}));
  EXPECT_EQ(snapshots("a"), 1u);
  EXPECT_THAT(heard_,
              ElementsAre("a starting", "a running", "a stopping", "a saving", "a stopped"));
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  ASSERT_TRUE(lifecycle_->stop("a", {.save = true}, {}));
  EXPECT_EQ(snapshots("a"), 1u) << "nothing changed since";
  ASSERT_TRUE(snapshots_->set_policy("a", {.off = true}));
  write_something("a");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  ASSERT_TRUE(lifecycle_->stop("a", {.save = true}, {}));
  EXPECT_EQ(snapshots("a"), 1u) << "its policy makes none";
}

TEST_F(LifecycleTest, SaveGoesBackToWhereItWas) {
  create("a");
  write_something("a");
  const auto saved = lifecycle_->save("a", {});
  ASSERT_TRUE(saved);
  EXPECT_TRUE(*saved);
  EXPECT_EQ(state("a"), LifeState::kStopped);
  const auto again = lifecycle_->save("a", {});
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again);
  EXPECT_EQ(snapshots("a"), 1u);
  EXPECT_EQ(lifecycle_->save("nobody", {}).error().code, ENOENT);
}

TEST_F(LifecycleTest, ComesBackWithTheDaemon) {
  create("a");
  create("b");
  create("c");
  ASSERT_TRUE(lifecycle_->start("a", {}, {}));
  ASSERT_TRUE(lifecycle_->start("b", {}, {}));
  const auto elsewhere = dir_.path() + "/elsewhere";
  std::filesystem::create_directory(elsewhere);
  ASSERT_TRUE(lifecycle_->start("c", {.mountpoint = elsewhere}, {}));
  ASSERT_TRUE(lifecycle_->stop("b", {}, {}));
  close();
  std::filesystem::remove(elsewhere);  // the mount point goes missing
  heard_.clear();
  open();
  ASSERT_TRUE(lifecycle_->restore());
  EXPECT_EQ(state("a"), LifeState::kRunning);
  EXPECT_EQ(state("b"), LifeState::kStopped);
  EXPECT_EQ(state("c"), LifeState::kError);
  EXPECT_THAT(*lifecycle_->state("c").error, HasSubstr("is not there"));
  EXPECT_THAT(heard_, ElementsAre("a restarting", "a running", "c restarting", "c error"));
}

TEST_F(LifecycleTest, AStoreThatIsAnotherNowIsNotMounted) {
  create("a");
  std::filesystem::rename(dir_.path() + "/store/STORE", dir_.path() + "/store/gone");
  const auto refused = lifecycle_->start("a", {}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ESTALE);
  EXPECT_THAT(refused.error().message, HasSubstr("is not the store"));
  std::filesystem::rename(dir_.path() + "/store/gone", dir_.path() + "/store/STORE");
  EXPECT_TRUE(lifecycle_->start("a", {}, {}));
}

TEST_F(LifecycleTest, ADamagedProjectKeepsNobodyFromWorking) {
  create("bad");
  create("good");
  ASSERT_TRUE(lifecycle_->start("bad", {}, {}));
  ASSERT_TRUE(lifecycle_->start("good", {}, {}));
  // Acknowledged writes of both are still staged.
  for (const auto* id : {"bad", "good"}) {
    const auto volume = *store_->volume(id);
    const auto made = volume->mknod(kRootIno, "f", S_IFREG | 0644, 0, {});
    ASSERT_TRUE(made);
    ASSERT_TRUE(volume->write(made->ino, 0, as_bytes(std::string_view("content")), false));
  }
  ASSERT_NO_FATAL_FAILURE(damage("bad"));
  ASSERT_TRUE(lifecycle_->restore());
  EXPECT_EQ(state("good"), LifeState::kRunning);
  EXPECT_EQ(state("bad"), LifeState::kError);
  const auto volume = *store_->volume("good");
  EXPECT_EQ(volume->lookup(kRootIno, "f")->size, 7u) << "what was staged of the others is there";

  AdminService service({*store_, *mounts_, *mounter_, *snapshots_, *lifecycle_});
  const auto ask = [&](const nlohmann::json& request) {
    return service.handle(request, {.uid = 0, .admin = true},
                          [](double, const std::string&) { return true; });
  };
  const auto all = ask({{"verb", "list"}});
  ASSERT_TRUE(all) << all.error().describe();
  ASSERT_EQ(all->size(), 2u);
  const auto& bad = (*all)[0];
  EXPECT_EQ(bad["id"], "bad");
  EXPECT_EQ(bad["state"], "error");
  EXPECT_EQ(bad["problems"][0]["field"], "record");
  EXPECT_THAT(bad["problems"][0]["problem"].get<std::string>(), HasSubstr("does not decode"));
  EXPECT_TRUE(bad["usage"]["bytes"].is_null());
  EXPECT_EQ((*all)[1]["problems"], nlohmann::json::array());
  EXPECT_TRUE(ask({{"verb", "show"}, {"id", "bad"}}));
  EXPECT_EQ((*ask({{"verb", "state"}, {"id", "bad"}}))["state"], "error");
  EXPECT_TRUE(ask({{"verb", "store.status"}}));
  EXPECT_FALSE(ask({{"verb", "start"}, {"id", "bad"}}));
  EXPECT_TRUE(ask({{"verb", "destroy"}, {"id", "bad"}})) << "it can be got rid of";
  EXPECT_EQ(ask({{"verb", "list"}})->size(), 1u);
}

}  // namespace
}  // namespace projfs
