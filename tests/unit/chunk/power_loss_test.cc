// SPDX-License-Identifier: MIT
//
// The store on a disk that fails, fills up and loses power.
#include <filesystem>
#include <map>
#include <random>

#include "chunk/record.h"
#include "support/fault_env.h"
#include "support/fault_rocks_env.h"
#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

// A store on a FaultEnv. Its references are records in kLive (chunk number -> content id),
// committed in the same batch as the counts, so that what survives says itself what to expect.
class FaultyStore {
 public:
  explicit FaultyStore(const std::string& root) : root_(root) {}

  void open() {
    env_ = std::make_unique<testing::FaultEnv>(Env::posix(), root_);
    rocks_ = std::make_unique<testing::FaultRocksEnv>(*env_);
    Database::Options db_options;
    db_options.create = !std::filesystem::exists(root_ + "/meta/CURRENT");
    db_options.block_cache_bytes = 1 << 20;
    db_options.write_buffer_bytes = 1 << 20;
    db_options.env = rocks_->get();
    auto db = Database::open(root_ + "/meta", db_options);
    ASSERT_TRUE(db) << db.error().describe();
    db_ = std::move(*db);
    ChunkStore::Options options;
    options.average_chunk = 1 << 10;
    options.block_bytes = 8 << 10;
    options.pack_bytes = 32 << 10;
    auto store = ChunkStore::open(*env_, *db_, root_ + "/packs", options);
    ASSERT_TRUE(store) << store.error().describe();
    store_ = std::move(*store);
  }
  void crash(std::uint64_t seed, testing::CrashMode mode) {
    env_->crash(seed, mode);
    store_.reset();
    db_.reset();
    rocks_.reset();
    env_.reset();
  }

  static std::string content(std::uint64_t id) {
    return id % 2 == 0 ? random_bytes(id, 500 + id % 3000) : text(id, 500 + id % 3000);
  }

  // Fails silently when the power is off: that is what a program would see, too.
  Status round(std::mt19937_64& random) {
    const auto round = store_->begin();
    std::vector<std::pair<ChunkNo, std::uint64_t>> added;
    for (int i = 0; i < 12; ++i) {
      const auto id = random() % 400;
      PROJFS_ASSIGN(const auto n, round->add(as_bytes(content(id)), {}));
      added.emplace_back(n, id);
    }
    PROJFS_TRY(round->finish());
    for (const auto& [n, id] : added) {
      PROJFS_ASSIGN(const auto there, db_->get(Family::kLive, number_key(n)));
      if (there) continue;
      rocksdb::WriteBatch batch;
      batch.Put(db_->family(Family::kLive), number_key(n), std::to_string(id));
      store_->add_reference(batch, n, 1);
      PROJFS_TRY(db_->commit(batch));
    }
    return {};
  }
  Status drop(std::mt19937_64& random) {
    for (const auto& [n, id] : references()) {
      if (random() % 4 != 0) continue;
      rocksdb::WriteBatch batch;
      batch.Delete(db_->family(Family::kLive), number_key(n));
      store_->add_reference(batch, n, -1);
      PROJFS_TRY(db_->commit(batch));
    }
    return {};
  }

  std::map<ChunkNo, std::uint64_t> references() {
    std::map<ChunkNo, std::uint64_t> out;
    const auto it = db_->scan(Family::kLive);
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      out[Reader(it->key().ToStringView()).be64()] = std::stoull(it->value().ToString());
    }
    return out;
  }
  void expect_sound() {
    const auto held = references();
    for (const auto& [n, id] : held) {
      const auto expected = content(id);
      std::string got(expected.size(), '\0');
      const auto done =
          store_->read(n, 0, {reinterpret_cast<std::uint8_t*>(got.data()), got.size()});
      ASSERT_TRUE(done) << done.error().describe();
      ASSERT_TRUE(got == expected) << "chunk " << n;
    }
    const auto found = store_->check(
        nullptr,
        [&](const ChunkStore::ReferenceSink& sink) -> Status {
          for (const auto& [n, id] : held) sink(n);
          return {};
        },
        true);
    ASSERT_TRUE(found) << found.error().describe();
    for (const auto& p : *found) ADD_FAILURE() << p.what;
  }

  const std::string root_;
  std::unique_ptr<testing::FaultEnv> env_;
  std::unique_ptr<testing::FaultRocksEnv> rocks_;
  std::unique_ptr<Database> db_;
  std::unique_ptr<ChunkStore> store_;
};

TEST(PowerLoss, LeavesASoundStoreAtAnyInstant) {
  const testing::TempDir dir;
  FaultyStore s(dir.path());
  ASSERT_NO_FATAL_FAILURE(s.open());
  // Until here the database has never been closed or synced; from here on its creation is durable.
  ASSERT_TRUE(s.db_->sync());
  std::size_t survivors = 0;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    s.env_->power_off_after(20 + random() % 400);
    std::map<ChunkNo, std::uint64_t> synced;
    for (int step = 0; step < 40 && s.env_->powered(); ++step) {
      Status done;
      switch (random() % 6) {
        case 0:
          done = s.drop(random);
          synced.clear();  // may or may not survive now
          break;
        case 1:
          (void)s.store_->collect(50);
          break;
        case 2:
          (void)s.store_->compact(0.3);
          break;
        case 3: {
          auto held = s.references();
          if (s.db_->sync()) synced = std::move(held);
          break;
        }
        default:
          done = s.round(random);
      }
      if (s.env_->powered()) {
        ASSERT_TRUE(done) << done.error().describe();
      }
    }
    constexpr testing::CrashMode kModes[] = {testing::CrashMode::kDropUnsynced,
                                             testing::CrashMode::kRandom,
                                             testing::CrashMode::kKeepAll};
    s.crash(seed, kModes[seed % 3]);
    ASSERT_NO_FATAL_FAILURE(s.open());
    ASSERT_NO_FATAL_FAILURE(s.expect_sound());
    const auto held = s.references();
    for (const auto& [n, id] : synced) EXPECT_TRUE(held.contains(n)) << n;
    survivors += synced.size();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(survivors, 50u);
}

TEST(PowerLoss, AFullOrFailingDiskFailsTheRoundAndNothingElse) {
  const testing::TempDir dir;
  FaultyStore s(dir.path());
  ASSERT_NO_FATAL_FAILURE(s.open());
  std::mt19937_64 random(1);
  ASSERT_TRUE(s.round(random));
  for (const auto op : {testing::FaultOp::kWrite, testing::FaultOp::kSync,
                        testing::FaultOp::kSyncDirectory, testing::FaultOp::kOpen}) {
    // The first such operations of a round are on its pack, not on the index.
    s.env_->inject({op, 1, ENOSPC, 1, 100});
    auto round = s.store_->begin();
    Status failed;
    for (int i = 0; i < 60 && failed; ++i) {
      const auto n = round->add(as_bytes(random_bytes(random(), 2000)), {});
      if (!n) failed = tl::unexpected<Error>(n.error());
    }
    if (failed) failed = round->finish();
    ASSERT_FALSE(failed) << static_cast<int>(op);
    EXPECT_EQ(failed.error().code, ENOSPC);
    // It stays failed: a part of it may be missing.
    EXPECT_EQ(round->finish().error().code, ENOSPC);
    EXPECT_EQ(round->add(as_bytes("x"), {}).error().code, ENOSPC);
    round.reset();
    s.env_->clear_faults();
    ASSERT_TRUE(s.round(random));
    ASSERT_NO_FATAL_FAILURE(s.expect_sound());
  }
}

}  // namespace
}  // namespace projfs::chunks
