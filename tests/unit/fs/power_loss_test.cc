// SPDX-License-Identifier: MIT
//
// Power cuts at chosen instants; tests/power does the same at random ones.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "projfs/store.h"
#include "support/fault_env.h"
#include "support/fault_rocks_env.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using testing::FaultEnv;
using testing::FaultRocksEnv;

class FsPowerLossTest : public ::testing::Test {
 protected:
  void SetUp() override {
    open(true);
    ProjectSpec spec;
    spec.id = "p";
    ASSERT_TRUE(store_->create(spec));
    volume_ = *store_->volume("p");
  }
  void TearDown() override {
    volume_.reset();
    store_.reset();
  }
  void open(bool create) {
    env_ = std::make_unique<FaultEnv>(Env::posix(), dir_.path());
    database_env_ = std::make_unique<FaultRocksEnv>(*env_);
    const std::string path = dir_.path() + "/store";
    if (create) {
      ASSERT_TRUE(Store::init(*env_, path, database_env_->get()));
    }
    Store::Options options;
    options.env = env_.get();
    options.database_env = database_env_->get();
    options.background = false;
    options.stage_bytes = 8 << 20;  // segments of 256 KiB
    options.reserve_bytes = 1 << 20;
    auto opened = Store::open(path, options);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }
  void cut_the_power() {
    env_->crash(1, testing::CrashMode::kDropUnsynced);
    volume_.reset();
    store_.reset();
    open(false);
    volume_ = *store_->volume("p");
  }
  void expect_sound() {
    const auto report = store_->check(true, {});
    ASSERT_TRUE(report) << report.error().describe();
    for (const auto& p : report->problems) ADD_FAILURE() << p;
  }
  Ino file(const std::string& name) { return volume_->mknod(kRootIno, name, S_IFREG, 0, {})->ino; }

  testing::TempDir dir_;
  std::unique_ptr<FaultEnv> env_;
  std::unique_ptr<FaultRocksEnv> database_env_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;
};

// A file is written, synced and removed while a checkpoint syncs the index. The removal is not in
// that sync, so the segment with the file's data must not be reused on the strength of it.
TEST_F(FsPowerLossTest, ACheckpointReusesNothingThatWasReleasedAfterItsSync) {
  const Ino other = file("other"), doomed = file("doomed");
  const std::vector<std::uint8_t> data(200'000, 'x');  // more than half of a segment
  ASSERT_TRUE(volume_->write(other, 0, Bytes(data).first(1000), false));
  ASSERT_TRUE(volume_->syncfs());
  bool done = false;
  env_->after_sync([&](const std::string& path) {
    if (done || !path.ends_with(".log")) return;
    done = true;
    ASSERT_TRUE(volume_->write(doomed, 0, data, false));
    ASSERT_TRUE(volume_->fsync(doomed, false));
    ASSERT_TRUE(volume_->unlink(kRootIno, "doomed"));
    volume_->forget(doomed);
    ASSERT_FALSE(volume_->getattr(doomed)) << "its space is given back at once";
  });
  ASSERT_TRUE(store_->ingest_all());
  ASSERT_TRUE(done) << "the checkpoint synced the index";
  cut_the_power();
  std::vector<std::uint8_t> found(data.size() + 1);
  const auto n = volume_->read(doomed, 0, found);
  ASSERT_TRUE(n) << n.error().describe();
  found.resize(*n);
  EXPECT_EQ(found, data) << "the removal was undone, what was synced before it is there";
}

// The first cut takes a file's creation and leaves its data in the stage; a directory gets its
// number then. The data is void for good, also for the next replay.
TEST_F(FsPowerLossTest, DataOfAnUndoneFileNeverReachesTheNextOwnerOfItsNumber) {
  std::vector<Ino> others;  // in all lanes of the stage
  for (int i = 0; i < 32; ++i) others.push_back(file(std::to_string(i)));
  ASSERT_TRUE(volume_->syncfs());
  cut_the_power();
  for (const Ino other : others) ASSERT_TRUE(volume_->getattr(other));
  ASSERT_TRUE(volume_->syncfs());  // nothing of theirs is left to be synced but data

  const std::vector<std::uint8_t> data(5000, 'x');
  const Ino lost = file("lost");
  ASSERT_TRUE(volume_->write(lost, 0, data, false));
  for (const Ino other : others) {
    ASSERT_TRUE(volume_->write(other, 0, data, false));
    ASSERT_TRUE(volume_->fsync(other, false));  // of the stage alone: the index has all of this one
  }
  cut_the_power();
  ASSERT_FALSE(volume_->lookup(kRootIno, "lost"));

  const auto made = volume_->mkdir(kRootIno, "d", 0755, {});
  ASSERT_TRUE(made);
  ASSERT_EQ(made->ino, lost) << "the number is free again";
  ASSERT_TRUE(volume_->syncfs());
  cut_the_power();
  const auto found = volume_->lookup(kRootIno, "d");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size, made->size);
  EXPECT_EQ(found->allocated, made->allocated);
  ASSERT_TRUE(store_->ingest_all());
  expect_sound();
}

}  // namespace
}  // namespace projfs
