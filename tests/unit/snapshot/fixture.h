// SPDX-License-Identifier: MIT
//
// A store with one project, without background work, and random changes of it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "projfs/store.h"
#include "tree_text.h"

namespace projfs::snapshot {

class SnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string dir = std::filesystem::temp_directory_path() / "projfs-snapshot-XXXXXX";
    ASSERT_NE(mkdtemp(dir.data()), nullptr);
    base_ = dir;
    ASSERT_TRUE(Store::init(Env::posix(), base_ + "/store"));
    options_.background = false;
    options_.reserve_bytes = 1 << 20;
    open();
    ProjectSpec spec;
    spec.id = "p";
    ASSERT_TRUE(store_->create(spec));
    attach();
  }
  void TearDown() override {
    if (store_) expect_sound();
    close();
    std::filesystem::remove_all(base_);
  }
  void open() {
    auto opened = Store::open(base_ + "/store", options_);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }
  void attach() {
    auto volume = store_->volume("p");
    ASSERT_TRUE(volume) << volume.error().describe();
    volume_ = *volume;
    auto snapshots = store_->snapshots("p");
    ASSERT_TRUE(snapshots) << snapshots.error().describe();
    snapshots_ = *snapshots;
  }
  void close() {
    snapshots_.reset();
    volume_.reset();
    store_.reset();
  }
  // What is staged stays staged: the stage is replayed.
  void reopen() {
    close();
    open();
    attach();
  }
  void expect_sound() {
    const auto report = store_->check(true, {});
    ASSERT_TRUE(report) << report.error().describe();
    for (const auto& p : report->problems) ADD_FAILURE() << p;
  }
  SnapshotInfo create(const std::string& name = {}) {
    const auto made = snapshots_->create(name, false);
    EXPECT_TRUE(made) << made.error().describe();
    return made ? *made : SnapshotInfo{};
  }
  std::shared_ptr<Volume> view(std::uint64_t number) {
    auto volume = snapshots_->volume(number);
    EXPECT_TRUE(volume) << volume.error().describe();
    return volume ? *volume : nullptr;
  }
  std::string text_of(std::uint64_t number) {
    const auto volume = view(number);
    return volume ? testing::tree_text(*volume) : std::string();
  }
  std::string head_text() { return testing::tree_text(*volume_); }
  Ino file(const std::string& name, Ino parent = kRootIno) {
    const auto made = volume_->mknod(parent, name, S_IFREG | 0644, 0, {});
    EXPECT_TRUE(made) << made.error().describe();
    return made ? made->ino : 0;
  }
  void write(Ino ino, std::uint64_t offset, const std::string& data) {
    const auto written = volume_->write(ino, offset, as_bytes(data), false);
    ASSERT_TRUE(written) << written.error().describe();
  }
  void ingest() {
    const auto done = store_->ingest_all();
    ASSERT_TRUE(done) << done.error().describe();
  }

  unsigned below(unsigned n) { return static_cast<unsigned>(rng_() % n); }
  std::string noise(std::size_t size) {
    std::string out(size, '\0');
    for (auto& c : out) c = static_cast<char>(rng_());
    return out;
  }
  // One change of a small tree; it may also turn out to be impossible.
  void change_something() {
    std::vector<std::pair<Ino, std::string>> names;
    std::vector<Ino> dirs{kRootIno}, files;
    const auto list = [&](Ino dir) {
      EXPECT_TRUE(volume_->readdir(dir, 0, false, [&](const DirEntry& e, const Attr*) {
        if (e.name == "." || e.name == "..") return true;
        names.emplace_back(dir, e.name);
        if (S_ISDIR(e.type)) dirs.push_back(e.ino);
        if (S_ISREG(e.type)) files.push_back(e.ino);
        return true;
      }));
    };
    for (std::size_t i = 0; i < dirs.size(); ++i) list(dirs[i]);
    const auto dir = dirs[below(static_cast<unsigned>(dirs.size()))];
    const auto name = "n" + std::to_string(below(8));
    const auto dice = below(100);
    if (files.empty() || dice < 12) {
      (void)volume_->mknod(dir, name, S_IFREG | 0644, 0, {});
      return;
    }
    const auto target = files[below(static_cast<unsigned>(files.size()))];
    const auto [from_dir, from] = names[below(static_cast<unsigned>(names.size()))];
    const std::uint64_t offset = below(4) == 0 ? below(1'600'000) : below(20'000);
    if (dice < 16) {
      (void)volume_->mkdir(dir, name, 0755, {});
    } else if (dice < 18) {
      (void)volume_->symlink(dir, name, "t" + std::to_string(below(100)), {});
    } else if (dice < 22) {
      (void)volume_->link(target, dir, name);
    } else if (dice < 30) {
      if (!volume_->unlink(from_dir, from)) (void)volume_->rmdir(from_dir, from);
    } else if (dice < 36) {
      const unsigned flags = below(4) == 0 ? RENAME_EXCHANGE : 0;
      (void)volume_->rename(from_dir, from, dir, name, flags);
    } else if (dice < 42) {
      AttrChange change;
      change.mode = 0600 + below(64);
      EXPECT_TRUE(volume_->setattr(target, change, {}));
    } else if (dice < 46) {
      (void)volume_->setxattr(target, "user.x" + std::to_string(below(3)), noise(below(40)), 0,
                              false);
    } else if (dice < 48) {
      (void)volume_->removexattr(target, "user.x" + std::to_string(below(3)));
    } else if (dice < 56) {
      AttrChange change;
      change.size = below(3) == 0 ? 0 : offset;
      EXPECT_TRUE(volume_->setattr(target, change, {}));
    } else if (dice < 62) {
      EXPECT_TRUE(volume_->fallocate(target, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                     1 + below(60'000)));
    } else if (dice < 65) {
      EXPECT_TRUE(volume_->fallocate(target, below(2) ? FALLOC_FL_KEEP_SIZE : 0, offset,
                                     1 + below(60'000)));
    } else if (dice < 70) {
      const auto other = files[below(static_cast<unsigned>(files.size()))];
      (void)volume_->copy_range(other, below(3) * 4096, target, below(3) * 4096, 1 + below(30'000));
    } else {
      EXPECT_TRUE(volume_->write(target, offset,
                                 as_bytes(noise(1 + below(below(3) ? 900 : 40'000))), false));
    }
  }

  std::string base_;
  Store::Options options_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;
  std::shared_ptr<Snapshots> snapshots_;
  std::mt19937 rng_{1};
};

}  // namespace projfs::snapshot
