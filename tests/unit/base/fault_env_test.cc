// SPDX-License-Identifier: MIT
#include "support/fault_env.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include "projfs/database.h"
#include "support/fault_rocks_env.h"
#include "support/temp_dir.h"

namespace projfs::testing {
namespace {

class FaultEnvTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_.path() + "/" + name; }

  static std::unique_ptr<File> open(FaultEnv& env, const std::string& p, Env::Open mode) {
    auto file = env.open(p, mode);
    EXPECT_TRUE(file) << file.error().describe();
    return file ? std::move(*file) : nullptr;
  }
  // Makes a file with durable content.
  void settle(FaultEnv& env, const std::string& name, std::string_view data) const {
    auto file = open(env, path(name), Env::Open::kCreateNew);
    ASSERT_TRUE(file->write(0, as_bytes(data)));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(env.sync_directory(dir_.path()));
  }
  std::string disk(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool there(const std::string& name) const { return std::filesystem::exists(path(name)); }

  TempDir dir_;
};

TEST_F(FaultEnvTest, ShowsWhatARunningSystemWouldSee) {
  FaultEnv env(Env::posix(), dir_.path());
  auto file = open(env, path("a"), Env::Open::kCreateNew);
  ASSERT_TRUE(file->write(2, as_bytes("abc")));
  std::array<std::uint8_t, 5> out{};
  EXPECT_EQ(file->read(0, out).value(), 5u);
  EXPECT_EQ(as_view(out), std::string_view("\0\0abc", 5));
  EXPECT_EQ(file->size().value(), 5u);
  EXPECT_TRUE(env.exists(path("a")).value());
  EXPECT_EQ(env.list(dir_.path()).value(), std::vector<std::string>{"a"});
  EXPECT_EQ(env.open(path("a"), Env::Open::kCreateNew).error().code, EEXIST);
  EXPECT_EQ(env.open(path("b"), Env::Open::kRead).error().code, ENOENT);
  EXPECT_EQ(env.open("/elsewhere", Env::Open::kRead).error().code, EXDEV);
  EXPECT_EQ(env.remove(path("b")).error().code, ENOENT);
  EXPECT_EQ(open(env, path("a"), Env::Open::kRead)->write(0, as_bytes("x")).error().code, EBADF);
}

TEST_F(FaultEnvTest, SyncedDataSurvivesAndTheRestIsUndone) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "a", "0123456789");
  auto file = open(env, path("a"), Env::Open::kReadWrite);
  ASSERT_TRUE(file->write(0, as_bytes("XX")));
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(file->write(4, as_bytes("YY")));
  ASSERT_TRUE(file->write(20, as_bytes("Z")));
  env.crash(1, CrashMode::kDropUnsynced);
  EXPECT_EQ(disk("a"), "XX23456789");
}

TEST_F(FaultEnvTest, KeepAllIsAKillOfTheProcess) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "old", "old");
  auto file = open(env, path("a"), Env::Open::kCreateNew);
  ASSERT_TRUE(file->allocate(10));
  ASSERT_TRUE(file->write(0, as_bytes("abcdef")));
  ASSERT_TRUE(file->truncate(3));
  ASSERT_TRUE(env.rename(path("old"), path("new")));
  env.crash(1, CrashMode::kKeepAll);
  EXPECT_EQ(disk("a"), "abc");
  EXPECT_EQ(disk("new"), "old");
  EXPECT_FALSE(there("old"));
}

TEST_F(FaultEnvTest, WhatWasThereBeforeIsDurable) {
  std::ofstream(path("a")) << "before";
  std::ofstream(path("b")) << "untouched";
  std::ofstream(path("c")) << "removed";
  FaultEnv env(Env::posix(), dir_.path());
  ASSERT_TRUE(open(env, path("a"), Env::Open::kReadWrite)->write(0, as_bytes("XX")));
  ASSERT_TRUE(env.remove(path("c")));
  EXPECT_FALSE(there("c"));
  env.crash(1, CrashMode::kDropUnsynced);
  EXPECT_EQ(disk("a"), "before");
  EXPECT_EQ(disk("b"), "untouched");
  EXPECT_EQ(disk("c"), "removed");
}

TEST_F(FaultEnvTest, EntriesAreDurableOnlyAfterTheirDirectoryIsSynced) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "gone", "gone");
  settle(env, "from", "moved");
  settle(env, "target", "replaced");
  auto file = open(env, path("new"), Env::Open::kCreateNew);
  ASSERT_TRUE(file->write(0, as_bytes("x")));
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(env.remove(path("gone")));
  ASSERT_TRUE(env.rename(path("from"), path("target")));
  env.crash(1, CrashMode::kDropUnsynced);
  EXPECT_FALSE(there("new"));
  EXPECT_EQ(disk("gone"), "gone");
  EXPECT_EQ(disk("from"), "moved");
  EXPECT_EQ(disk("target"), "replaced");
}

TEST_F(FaultEnvTest, ASyncedDirectoryKeepsItsEntries) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "gone", "gone");
  settle(env, "from", "moved");
  settle(env, "target", "replaced");
  auto file = open(env, path("new"), Env::Open::kCreateNew);
  ASSERT_TRUE(file->write(0, as_bytes("never synced")));
  ASSERT_TRUE(env.remove(path("gone")));
  ASSERT_TRUE(env.rename(path("from"), path("target")));
  ASSERT_TRUE(env.sync_directory(dir_.path()));
  env.crash(1, CrashMode::kDropUnsynced);
  EXPECT_TRUE(there("new"));
  EXPECT_EQ(disk("new"), "");
  EXPECT_FALSE(there("gone"));
  EXPECT_FALSE(there("from"));
  EXPECT_EQ(disk("target"), "moved");
}

TEST_F(FaultEnvTest, ADirectoryThatIsLostTakesItsFilesAlong) {
  FaultEnv env(Env::posix(), dir_.path());
  ASSERT_TRUE(env.make_directory(path("kept"), 0700));
  ASSERT_TRUE(env.sync_directory(dir_.path()));
  ASSERT_TRUE(env.make_directory(path("lost"), 0700));
  for (const auto* d : {"kept", "lost"}) {
    auto file = open(env, path(std::string(d) + "/f"), Env::Open::kCreateNew);
    ASSERT_TRUE(file->write(0, as_bytes("x")));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(env.sync_directory(path(d)));
  }
  env.crash(1, CrashMode::kDropUnsynced);
  EXPECT_EQ(disk("kept/f"), "x");
  EXPECT_FALSE(there("lost"));
}

TEST_F(FaultEnvTest, AfterACrashEverythingFails) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "a", "abc");
  auto file = open(env, path("a"), Env::Open::kReadWrite);
  env.crash(1, CrashMode::kKeepAll);
  std::array<std::uint8_t, 3> out{};
  EXPECT_FALSE(env.powered());
  EXPECT_EQ(file->read(0, out).error().code, EIO);
  EXPECT_EQ(file->write(0, as_bytes("x")).error().code, EIO);
  EXPECT_EQ(file->sync().error().code, EIO);
  EXPECT_EQ(file->truncate(0).error().code, EIO);
  EXPECT_EQ(file->allocate(9).error().code, EIO);
  EXPECT_EQ(file->size().error().code, EIO);
  EXPECT_EQ(env.open(path("a"), Env::Open::kRead).error().code, EIO);
  EXPECT_EQ(env.list(dir_.path()).error().code, EIO);
  EXPECT_EQ(env.exists(path("a")).error().code, EIO);
  EXPECT_EQ(env.rename(path("a"), path("b")).error().code, EIO);
  EXPECT_EQ(env.remove(path("a")).error().code, EIO);
  EXPECT_EQ(env.make_directory(path("d"), 0700).error().code, EIO);
  EXPECT_EQ(env.sync_directory(dir_.path()).error().code, EIO);
  EXPECT_EQ(disk("a"), "abc");

  FaultEnv next(Env::posix(), dir_.path());
  EXPECT_EQ(open(next, path("a"), Env::Open::kRead)->size().value(), 3u);
}

TEST_F(FaultEnvTest, ThePowerGoesOffAfterSoManyChanges) {
  FaultEnv env(Env::posix(), dir_.path());
  auto file = open(env, path("a"), Env::Open::kCreateNew);
  ASSERT_TRUE(env.sync_directory(dir_.path()));
  const auto before = env.changes();
  env.power_off_after(2);
  EXPECT_TRUE(file->write(0, as_bytes("1")));
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(file->write(0, as_bytes("2")).error().code, EIO);
  EXPECT_FALSE(env.powered());
  EXPECT_EQ(env.changes() - before, 2u);
  env.crash(1, CrashMode::kKeepAll);
  EXPECT_EQ(disk("a"), "1");
}

// Over many seeds every fate of a write is seen, and nothing but its sectors ever changes.
TEST_F(FaultEnvTest, RandomCrashesKeepLoseAndTearSectorwise) {
  const std::string old(2048, 'o');
  const std::string fresh(1500, 'n');
  std::set<std::string> fates;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto name = std::to_string(seed);
    FaultEnv env(Env::posix(), dir_.path());
    settle(env, name, old);
    ASSERT_TRUE(open(env, path(name), Env::Open::kReadWrite)->write(100, as_bytes(fresh)));
    env.crash(seed, CrashMode::kRandom);
    const auto result = disk(name);
    ASSERT_EQ(result.size(), old.size());
    std::string fate;
    // The write covers parts of the first and the last sector, and two whole ones.
    const std::array<std::size_t, 5> edges{100, 512, 1024, 1536, 1600};
    for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
      const auto sector = result.substr(edges[i], edges[i + 1] - edges[i]);
      ASSERT_EQ(sector, std::string(sector.size(), sector[0]));
      fate += sector[0];
    }
    ASSERT_EQ(result.substr(0, 100), old.substr(0, 100));
    ASSERT_EQ(result.substr(1600), old.substr(1600));
    fates.insert(fate);
  }
  EXPECT_TRUE(fates.contains("oooo"));
  EXPECT_TRUE(fates.contains("nnnn"));
  EXPECT_TRUE(fates.contains("nnoo"));  // a prefix
  EXPECT_TRUE(fates.contains("ooon") || fates.contains("onoo") || fates.contains("oono"));
  EXPECT_GT(fates.size(), 6u);
}

TEST_F(FaultEnvTest, RandomCrashesDecideAboutEachEntry) {
  std::set<std::string> fates;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto name = std::to_string(seed);
    FaultEnv env(Env::posix(), dir_.path());
    settle(env, name, "x");
    ASSERT_TRUE(env.rename(path(name), path(name + "r")));
    open(env, path(name + "n"), Env::Open::kCreateNew);
    env.crash(seed, CrashMode::kRandom);
    ASSERT_NE(there(name), there(name + "r")) << "a rename is one change";
    ASSERT_EQ(disk(there(name) ? name : name + "r"), "x");
    fates.insert(std::to_string(there(name)) + std::to_string(there(name + "n")));
  }
  EXPECT_EQ(fates.size(), 4u);
}

TEST_F(FaultEnvTest, TheSameSeedGivesTheSameCrash) {
  std::set<std::string> results;
  for (int round = 0; round < 5; ++round) {
    const auto name = std::to_string(round);
    FaultEnv env(Env::posix(), dir_.path());
    settle(env, name, std::string(8192, 'o'));
    auto file = open(env, path(name), Env::Open::kReadWrite);
    for (int i = 0; i < 8; ++i)
      ASSERT_TRUE(file->write(i * 700, as_bytes(std::string(700, static_cast<char>('a' + i)))));
    env.crash(42, CrashMode::kRandom);
    results.insert(disk(name));
  }
  EXPECT_EQ(results.size(), 1u);
}

TEST_F(FaultEnvTest, FailsTheNthOperation) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "a", "");
  auto file = open(env, path("a"), Env::Open::kReadWrite);
  env.inject({.op = FaultOp::kWrite, .nth = 2, .code = ENOSPC, .times = 2, .bytes_taken = 3});
  EXPECT_TRUE(file->write(0, as_bytes("aaaaa")));
  EXPECT_EQ(file->write(0, as_bytes("bbbbb")).error().code, ENOSPC);
  EXPECT_EQ(file->write(0, as_bytes("ccccc")).error().code, ENOSPC);
  EXPECT_TRUE(file->write(4, as_bytes("d")));
  std::array<std::uint8_t, 5> out{};
  ASSERT_TRUE(file->read(0, out));
  EXPECT_EQ(as_view(out), "cccad");

  env.inject({.op = FaultOp::kOpen, .code = EMFILE});
  EXPECT_EQ(env.open(path("a"), Env::Open::kRead).error().code, EMFILE);
  EXPECT_TRUE(env.open(path("a"), Env::Open::kRead));
  env.inject({.op = FaultOp::kRename});
  EXPECT_EQ(env.rename(path("a"), path("b")).error().code, EIO);
  EXPECT_TRUE(there("a"));
  env.inject({.op = FaultOp::kRemove, .times = 100});
  env.clear_faults();
  EXPECT_TRUE(env.remove(path("a")));
}

// What the kernel does: dirty pages become clean, and the next sync succeeds.
TEST_F(FaultEnvTest, AFailedSyncLosesTheData) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "a", "old");
  auto file = open(env, path("a"), Env::Open::kReadWrite);
  ASSERT_TRUE(file->write(0, as_bytes("new")));
  env.inject({.op = FaultOp::kSync});
  EXPECT_EQ(file->sync().error().code, EIO);
  std::array<std::uint8_t, 3> out{};
  ASSERT_TRUE(file->read(0, out));
  EXPECT_EQ(as_view(out), "new");
  EXPECT_TRUE(file->sync());
  env.crash(1, CrashMode::kKeepAll);
  EXPECT_EQ(disk("a"), "old");
}

TEST_F(FaultEnvTest, ADiskThatIsFull) {
  FaultEnv env(Env::posix(), dir_.path());
  settle(env, "a", "12345");
  auto file = open(env, path("a"), Env::Open::kReadWrite);
  env.limit_growth(10);
  EXPECT_TRUE(file->write(0, as_bytes("54321")));  // no growth
  EXPECT_TRUE(file->write(5, as_bytes("123456")));
  EXPECT_EQ(env.space(dir_.path()).value().available_bytes, 4u);
  EXPECT_EQ(file->write(11, as_bytes("12345")).error().code, ENOSPC);
  EXPECT_EQ(file->size().value(), 11u);
  EXPECT_EQ(file->allocate(16).error().code, ENOSPC);
  EXPECT_TRUE(file->truncate(10));
  EXPECT_TRUE(file->allocate(15));
  EXPECT_EQ(
      env.open(path("b"), Env::Open::kCreateNew).value()->write(0, as_bytes("x")).error().code,
      ENOSPC);
  ASSERT_TRUE(env.remove(path("a")));
  EXPECT_EQ(env.space(dir_.path()).value().available_bytes, 15u);
  env.unlimit_growth();
  EXPECT_TRUE(
      open(env, path("b"), Env::Open::kReadWrite)->write(0, as_bytes(std::string(99, 'x'))));
}

std::string key(int i) { return "key" + std::to_string(i); }

// An index in a power cut: all that was synced is there, and what is there is a prefix.
TEST_F(FaultEnvTest, TheIndexSurvivesPowerCutsUpToItsLastSync) {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto root = path(std::to_string(seed));
    std::filesystem::create_directory(root);
    std::mt19937_64 rng(seed);
    int written = 0;
    int synced = 0;
    for (int life = 0; life < 3; ++life) {
      FaultEnv env(Env::posix(), root);
      const FaultRocksEnv rocks(env);
      Database::Options options;
      options.env = rocks.get();
      options.create = life == 0;
      options.write_buffer_bytes = 256 << 10;
      auto opened = Database::open(root + "/meta", options);
      ASSERT_TRUE(opened) << "seed " << seed << ": " << opened.error().describe();
      auto db = std::move(*opened);
      int found = 0;
      while (db->get(Family::kLive, key(found)).value()) ++found;
      ASSERT_GE(found, synced) << "seed " << seed;
      ASSERT_LE(found, written) << "seed " << seed;
      for (int i = found; i < written; ++i)
        ASSERT_FALSE(db->get(Family::kLive, key(i)).value()) << "not a prefix: seed " << seed;
      if (found < written) ++lost;
      written = synced = found;
      // The last life ends before the power does.
      env.power_off_after(20 + rng() % 600);
      for (int i = 0; i < 400; ++i) {
        rocksdb::WriteBatch batch;
        batch.Put(db->family(Family::kLive), key(written), std::string(rng() % 4000, 'x'));
        batch.Merge(db->family(Family::kCounters), "n", encode_counters({1}));
        // A commit that fails may still be found later.
        ++written;
        if (!db->commit(batch)) break;
        if (rng() % 8 == 0) {
          if (!db->sync()) break;
          synced = written;
        }
      }
      env.crash(seed * 10 + life, CrashMode::kRandom);
    }
  }
  EXPECT_GT(lost, 5) << "the cuts cut nothing";
}

}  // namespace
}  // namespace projfs::testing
