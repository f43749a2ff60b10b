// SPDX-License-Identifier: MIT
#include "projfs/volume.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <atomic>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "projfs/store.h"

namespace projfs {
namespace {

namespace stdfs = std::filesystem;

std::vector<std::uint8_t> pattern(std::size_t size, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<std::uint8_t> data(size);
  for (auto& b : data) b = static_cast<std::uint8_t>(rng() & 0x3f);
  return data;
}

class VolumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string dir = stdfs::temp_directory_path() / "projfs-volume-XXXXXX";
    ASSERT_NE(mkdtemp(dir.data()), nullptr);
    base_ = dir;
    path_ = base_ + "/store";
    ASSERT_TRUE(Store::init(Env::posix(), path_));
    options_.background = false;
    open();
    ProjectSpec spec;
    spec.id = "p";
    auto made = store_->create(spec);
    ASSERT_TRUE(made) << made.error().describe();
    attach();
  }
  void TearDown() override {
    if (store_) expect_sound();
    volume_.reset();
    store_.reset();
    stdfs::remove_all(base_);
  }
  void open() {
    auto opened = Store::open(path_, options_);
    ASSERT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
  }
  void attach() {
    auto volume = store_->volume("p");
    ASSERT_TRUE(volume) << volume.error().describe();
    volume_ = *volume;
  }
  void reopen() {
    volume_.reset();
    store_.reset();
    open();
    attach();
  }
  void expect_sound() {
    const auto report = store_->check(true, {});
    ASSERT_TRUE(report) << report.error().describe();
    for (const auto& p : report->problems) ADD_FAILURE() << p;
  }
  void ingest() {
    const auto s = store_->ingest_all();
    ASSERT_TRUE(s) << s.error().describe();
  }
  Ino file(const std::string& name, Ino parent = kRootIno, std::uint32_t mode = 0644) {
    auto attr = volume_->mknod(parent, name, S_IFREG | mode, 0, {});
    EXPECT_TRUE(attr) << attr.error().describe();
    return attr ? attr->ino : 0;
  }
  Ino dir(const std::string& name, Ino parent = kRootIno) {
    auto attr = volume_->mkdir(parent, name, 0755, {});
    EXPECT_TRUE(attr) << attr.error().describe();
    return attr ? attr->ino : 0;
  }
  void write(Ino ino, std::uint64_t offset, Bytes data) {
    const auto s = volume_->write(ino, offset, data, false);
    ASSERT_TRUE(s) << s.error().describe();
  }
  std::vector<std::uint8_t> read(Ino ino, std::uint64_t offset, std::size_t size) {
    std::vector<std::uint8_t> out(size);
    auto n = volume_->read(ino, offset, out);
    EXPECT_TRUE(n) << n.error().describe();
    out.resize(n ? *n : 0);
    return out;
  }
  Usage usage() { return store_->show("p")->usage; }
  static int code(const Status& s) { return s ? 0 : s.error().code; }
  template <class T>
  static int code(const Result<T>& r) {
    return r ? 0 : r.error().code;
  }

  std::string base_, path_;
  Store::Options options_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;
};

TEST_F(VolumeTest, KeepsWhatIsWrittenThroughIngestionAndReopening) {
  const auto data = pattern(3'000'000, 1);
  const Ino f = file("f");
  write(f, 0, data);
  EXPECT_EQ(read(f, 0, data.size() + 10), data);
  reopen();  // replayed from the stage
  EXPECT_EQ(read(f, 0, data.size()), data);
  ingest();
  EXPECT_EQ(read(f, 0, data.size()), data);
  reopen();
  EXPECT_EQ(read(f, 0, data.size()), data);
  EXPECT_EQ(volume_->getattr(f)->size, data.size());
  EXPECT_EQ(usage().bytes, (data.size() + kBlock - 1) / kBlock * kBlock);
}

// Ingestion works beside the replay of a start: it must not take a file whose records are not all
// replayed for complete.
TEST_F(VolumeTest, TimesSetByHandOutliveReplayAndIngestion) {
  const Ino ino = file("f");
  const auto data = pattern(512, 1);
  ASSERT_TRUE(volume_->write(ino, 0, data, false));
  // Enough for a round of ingestion to end between the replay of the first record and of the last.
  for (unsigned other = 0; other < 8; ++other) {
    const Ino busy = file("busy-" + std::to_string(other));
    for (unsigned i = 0; i < 4000; ++i) ASSERT_TRUE(volume_->write(busy, 0, data, false));
  }
  ASSERT_TRUE(volume_->write(ino, 512, data, false));
  AttrChange by_hand;
  by_hand.mtime = timespec{1000, 17};
  ASSERT_TRUE(volume_->setattr(ino, by_hand, {}));
  const auto expect_by_hand = [&] {
    const auto attr = volume_->getattr(ino);
    ASSERT_TRUE(attr);
    EXPECT_EQ(attr->mtime.tv_sec, 1000);
    EXPECT_EQ(attr->mtime.tv_nsec, 17);
    EXPECT_EQ(attr->size, 1024u);
  };
  options_.background = true;
  options_.ingest_after_ms = 0;
  reopen();
  expect_by_hand();
  ingest();
  expect_by_hand();
  options_.background = false;
  reopen();
  expect_by_hand();
}

TEST_F(VolumeTest, ChargesBlocksNotHoles) {
  const Ino f = file("f");
  write(f, 10 * kBlock + 5, pattern(10, 1));
  EXPECT_EQ(usage().bytes, kBlock);
  EXPECT_EQ(volume_->getattr(f)->size, 10u * kBlock + 15);
  EXPECT_EQ(read(f, 0, kBlock), std::vector<std::uint8_t>(kBlock, 0));
  ingest();
  EXPECT_EQ(usage().bytes, kBlock);
  ASSERT_TRUE(volume_->fallocate(f, 0, 0, 3 * kBlock));
  EXPECT_EQ(usage().bytes, 4u * kBlock);
  ASSERT_TRUE(volume_->fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlock, kBlock));
  EXPECT_EQ(usage().bytes, 3u * kBlock);
  ASSERT_TRUE(volume_->fallocate(f, FALLOC_FL_KEEP_SIZE, 100 * kBlock, kBlock));
  EXPECT_EQ(usage().bytes, 4u * kBlock);
  AttrChange cut;
  cut.size = 0;
  ASSERT_TRUE(volume_->setattr(f, cut, {}));
  EXPECT_EQ(usage().bytes, 0u);
  cut.size = 20 * kBlock;
  ASSERT_TRUE(volume_->setattr(f, cut, {}));
  EXPECT_EQ(read(f, 0, 20 * kBlock), std::vector<std::uint8_t>(20 * kBlock, 0));
  ingest();
  EXPECT_EQ(usage().bytes, 0u);
  EXPECT_EQ(read(f, 0, 20 * kBlock), std::vector<std::uint8_t>(20 * kBlock, 0));
}

TEST_F(VolumeTest, RefusesTheWriteThatWouldExceedTheQuota) {
  Quota quota;
  quota.bytes = 10 * kBlock;
  ASSERT_TRUE(store_->set_quota("p", quota));
  const Ino f = file("f");
  write(f, 0, pattern(9 * kBlock, 1));
  EXPECT_EQ(code(volume_->write(f, 9 * kBlock, pattern(2 * kBlock, 2), false)), EDQUOT);
  EXPECT_EQ(volume_->getattr(f)->size, 9u * kBlock);
  write(f, 9 * kBlock, pattern(kBlock, 2));
  EXPECT_EQ(code(volume_->write(f, 10 * kBlock, pattern(1, 2), false)), EDQUOT);
  write(f, 0, pattern(10 * kBlock, 3));  // overwriting needs nothing
  ASSERT_TRUE(volume_->unlink(kRootIno, "f"));
  EXPECT_EQ(usage().bytes, 0u);
  quota.inodes = 2;
  ASSERT_TRUE(store_->set_quota("p", quota));
  file("a");
  EXPECT_EQ(code(volume_->mknod(kRootIno, "b", S_IFREG | 0644, 0, {})), EDQUOT);
}

TEST_F(VolumeTest, QuotaIsExactUnderConcurrency) {
  Quota quota;
  quota.bytes = 100 * kBlock;
  ASSERT_TRUE(store_->set_quota("p", quota));
  std::vector<Ino> files;
  for (int i = 0; i < 16; ++i) files.push_back(file("f" + std::to_string(i)));
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (const Ino f : files) {
    threads.emplace_back([&, f] {
      const std::vector<std::uint8_t> block(kBlock, 7);
      for (int i = 0; i < 20; ++i) {
        if (volume_->write(f, static_cast<std::uint64_t>(i) * kBlock, block, false)) ++accepted;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(accepted, 100);
  EXPECT_EQ(usage().bytes, quota.bytes);
}

TEST_F(VolumeTest, NamesBehaveAsPosixSays) {
  const Ino d = dir("d");
  const Ino e = dir("e", d);
  const Ino f = file("f", e);
  EXPECT_EQ(volume_->getattr(d)->nlink, 3u);
  EXPECT_EQ(code(volume_->rmdir(d, "e")), ENOTEMPTY);
  EXPECT_EQ(code(volume_->unlink(d, "e")), EISDIR);
  EXPECT_EQ(code(volume_->rename(kRootIno, "d", e, "x", 0)), EINVAL);
  ASSERT_TRUE(volume_->link(f, kRootIno, "g"));
  EXPECT_EQ(volume_->getattr(f)->nlink, 2u);
  ASSERT_TRUE(volume_->rename(kRootIno, "g", d, "e2", RENAME_NOREPLACE));
  EXPECT_EQ(code(volume_->rename(d, "e2", d, "e", 0)), EISDIR);
  EXPECT_EQ(code(volume_->rename(d, "e", d, "e2", 0)), ENOTDIR);
  // The exchange would move d into itself.
  EXPECT_EQ(code(volume_->rename(d, "e2", kRootIno, "d", RENAME_EXCHANGE)), EINVAL);
  file("h");
  ASSERT_TRUE(volume_->rename(d, "e", kRootIno, "h", RENAME_EXCHANGE));
  EXPECT_EQ(volume_->lookup(kRootIno, "h")->ino, e);
  EXPECT_EQ(volume_->getattr(d)->nlink, 2u);
  EXPECT_EQ(volume_->getattr(kRootIno)->nlink, 4u);
}

// What the kernel asks to open by a handle, when it does not know the inode any more.
TEST_F(VolumeTest, EveryInodeIsFoundByItsNumber) {
  const auto dir = volume_->mkdir(kRootIno, "d", 0755, {});
  ASSERT_TRUE(dir);
  const Ino ino = file("f", dir->ino);
  reopen();
  const auto found = volume_->lookup(ino, ".");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->ino, ino);
  EXPECT_EQ(volume_->lookup(dir->ino, ".")->ino, dir->ino);
  EXPECT_EQ(volume_->lookup(dir->ino, "..")->ino, kRootIno);
  EXPECT_EQ(volume_->lookup(ino, "..").error().code, ENOTDIR);
  ASSERT_TRUE(volume_->unlink(dir->ino, "f"));
  EXPECT_EQ(volume_->lookup(ino, ".").error().code, ESTALE);
}

TEST_F(VolumeTest, ListsEveryEntryOnceWhileOthersChange) {
  const Ino d = dir("d");
  std::map<std::string, int> seen;
  for (int i = 0; i < 1000; ++i) file("stay" + std::to_string(i), d);
  std::uint64_t cookie = 0;
  int round = 0;
  while (true) {
    int taken = 0;
    ASSERT_TRUE(volume_->readdir(d, cookie, true, [&](const DirEntry& e, const Attr* a) {
      if (taken == 7) return false;
      if (a != nullptr) {
        EXPECT_EQ(a->ino, e.ino);
      }
      ++taken;
      ++seen[std::string(e.name)];
      cookie = e.next_cookie;
      return true;
    }));
    if (taken == 0) break;
    file("new" + std::to_string(round), d);
    if (round > 0) {
      ASSERT_TRUE(volume_->unlink(d, "new" + std::to_string(round - 1)));
    }
    ++round;
  }
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen["stay" + std::to_string(i)], 1);
  EXPECT_EQ(seen["."], 1);
  EXPECT_EQ(seen[".."], 1);
}

TEST_F(VolumeTest, UnlinkedFilesLiveWhileTheKernelKnowsThem) {
  struct Kernel final : Volume::KernelView {
    bool known = true;
    bool knows(Ino /*ino*/) override { return known; }
  } kernel;
  volume_->set_kernel_view(&kernel);
  const Ino f = file("f");
  write(f, 0, pattern(100'000, 1));
  ASSERT_TRUE(volume_->unlink(kRootIno, "f"));
  volume_->forget(f);
  EXPECT_EQ(read(f, 0, 100'000), pattern(100'000, 1));
  ingest();
  EXPECT_EQ(read(f, 0, 100'000), pattern(100'000, 1));
  kernel.known = false;
  volume_->forget(f);
  EXPECT_EQ(code(volume_->getattr(f)), ESTALE);
  EXPECT_EQ(usage().bytes, 0u);
  EXPECT_EQ(usage().inodes, 1u);
  volume_->set_kernel_view(nullptr);
}

// With background work the space comes back a moment later, whatever is asked of the project then.
TEST_F(VolumeTest, UnlinkedFilesAreReclaimedInTheBackground) {
  struct Kernel final : Volume::KernelView {
    std::atomic<Ino> open{0};
    bool knows(Ino ino) override { return ino == open; }
  } kernel;
  options_.background = true;
  reopen();
  volume_->set_kernel_view(&kernel);
  std::vector<Ino> files;
  for (unsigned i = 0; i < 300; ++i) {
    files.push_back(file("f" + std::to_string(i)));
    write(files.back(), 0, pattern(5000, i));
  }
  kernel.open = files[7];
  for (unsigned i = 0; i < 300; ++i) {
    ASSERT_TRUE(volume_->unlink(kRootIno, "f" + std::to_string(i)));
    volume_->forget(files[i]);
  }
  while (usage().inodes != 2) std::this_thread::yield();
  EXPECT_EQ(usage().bytes, 8192u);
  EXPECT_EQ(read(files[7], 0, 5000), pattern(5000, 7));
  kernel.open = 0;
  volume_->forget(files[7]);
  while (usage().inodes != 1) std::this_thread::yield();
  EXPECT_EQ(usage().bytes, 0u);
  // One on its way when the volume is let go is no obstacle to destroying the project.
  const Ino last = file("last");
  ASSERT_TRUE(volume_->unlink(kRootIno, "last"));
  volume_->forget(last);
  volume_->set_kernel_view(nullptr);
  volume_.reset();
  EXPECT_TRUE(store_->destroy("p"));
}

TEST_F(VolumeTest, XattrsAndAcls) {
  const Ino d = dir("d");
  EXPECT_EQ(code(volume_->getxattr(d, "user.a")), ENODATA);
  ASSERT_TRUE(volume_->setxattr(d, "user.a", "1", XATTR_CREATE, false));
  EXPECT_EQ(code(volume_->setxattr(d, "user.a", "1", XATTR_CREATE, false)), EEXIST);
  EXPECT_EQ(code(volume_->setxattr(d, "user.b", "1", XATTR_REPLACE, false)), ENODATA);
  EXPECT_EQ(code(volume_->setxattr(d, "foo.b", "1", 0, false)), EOPNOTSUPP);
  ASSERT_TRUE(volume_->setxattr(d, "user.b", std::string(65536, 'x'), 0, false));
  EXPECT_EQ(volume_->listxattr(d)->size(), 2u);
  EXPECT_EQ(usage().bytes, 7u + 6 + 65536);
  ASSERT_TRUE(volume_->removexattr(d, "user.b"));
  EXPECT_EQ(code(volume_->removexattr(d, "user.b")), ENODATA);
  EXPECT_EQ(*volume_->getxattr(d, "user.a"), "1");
}

TEST_F(VolumeTest, CopiesByReference) {
  const auto data = pattern(5'000'000, 4);
  const Ino a = file("a"), b = file("b");
  write(a, 0, data);
  ingest();
  const auto before = store_->status()->chunks;
  auto n = volume_->copy_range(a, 0, b, 0, data.size());
  ASSERT_TRUE(n);
  EXPECT_EQ(*n, data.size());
  EXPECT_EQ(read(b, 0, data.size()), data);
  ingest();
  EXPECT_EQ(store_->status()->chunks, before);
  // Unaligned, over something that is there.
  ASSERT_EQ(*volume_->copy_range(a, 1234, b, 999'999, 77'777), 77'777u);
  auto expected = data;
  std::copy_n(data.begin() + 1234, 77'777, expected.begin() + 999'999);
  EXPECT_EQ(read(b, 0, data.size()), expected);
  reopen();
  EXPECT_EQ(read(b, 0, data.size()), expected);
}

// Random changes of one file against a plain vector, with ingestion and reopening in between.
TEST_F(VolumeTest, RandomDataChangesMatchAModel) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto below = [&](std::uint64_t n) {
      return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(rng);
    };
    const Ino f = file("r" + std::to_string(seed));
    const Ino g = file("s" + std::to_string(seed));
    std::vector<std::uint8_t> model, model_g;
    for (int step = 0; step < 250; ++step) {
      const std::uint64_t at = below(2'500'000);
      const std::uint64_t len = 1 + below(below(4) == 0 ? 400'000 : 9000);
      switch (below(10)) {
        case 0:
        case 1:
        case 2: {
          const auto data = pattern(len, static_cast<unsigned>(rng()));
          write(f, at, data);
          if (model.size() < at + len) model.resize(at + len);
          std::copy(data.begin(), data.end(), model.begin() + static_cast<long>(at));
          break;
        }
        case 3: {
          AttrChange cut;
          cut.size = at;
          ASSERT_TRUE(volume_->setattr(f, cut, {}));
          model.resize(at);
          break;
        }
        case 4: {
          ASSERT_TRUE(volume_->fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len));
          for (auto i = at; i < std::min<std::uint64_t>(at + len, model.size()); ++i) model[i] = 0;
          break;
        }
        case 5: {
          const bool keep = below(2) == 0;
          ASSERT_TRUE(volume_->fallocate(f, FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0),
                                         at, len));
          if (!keep && model.size() < at + len) model.resize(at + len);
          for (auto i = at; i < std::min<std::uint64_t>(at + len, model.size()); ++i) model[i] = 0;
          break;
        }
        case 6: {
          const bool keep = below(2) == 0;
          ASSERT_TRUE(volume_->fallocate(f, keep ? FALLOC_FL_KEEP_SIZE : 0, at, len));
          if (!keep && model.size() < at + len) model.resize(at + len);
          break;
        }
        case 7: {
          const auto to = below(1'000'000);
          auto n = volume_->copy_range(f, at, g, to, len);
          ASSERT_TRUE(n) << n.error().describe();
          if (*n == 0) break;
          if (model_g.size() < to + *n) model_g.resize(to + *n);
          std::copy_n(model.begin() + static_cast<long>(at), *n,
                      model_g.begin() + static_cast<long>(to));
          break;
        }
        case 8:
          ingest();
          break;
        case 9:
          if (below(4) == 0) reopen();
          break;
      }
      ASSERT_EQ(volume_->getattr(f)->size, model.size()) << "step " << step;
      const auto from = below(model.size() + 1);
      const auto n = std::min<std::uint64_t>(50'000, model.size() - from);
      const auto got = read(f, from, n);
      ASSERT_TRUE(std::equal(got.begin(), got.end(), model.begin() + static_cast<long>(from)))
          << "step " << step;
    }
    ASSERT_EQ(read(f, 0, model.size()), model);
    ASSERT_EQ(read(g, 0, model_g.size() + 1), model_g);
    ingest();
    ASSERT_EQ(read(f, 0, model.size()), model);
    expect_sound();
    std::uint64_t sum = 0;
    for (const auto& name : {"r" + std::to_string(seed), "s" + std::to_string(seed)})
      sum += volume_->lookup(kRootIno, name)->allocated;
    EXPECT_EQ(usage().bytes, sum);
    ASSERT_TRUE(volume_->unlink(kRootIno, "r" + std::to_string(seed)));
    ASSERT_TRUE(volume_->unlink(kRootIno, "s" + std::to_string(seed)));
    EXPECT_EQ(usage().bytes, 0u);
  }
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_EQ(store_->status()->chunks, 0u);
}

TEST_F(VolumeTest, DestroyedProjectsGiveTheirSpaceBack) {
  for (int i = 0; i < 50; ++i)
    write(file("f" + std::to_string(i)), 0, pattern(100'000, static_cast<unsigned>(i)));
  ingest();
  EXPECT_EQ(code(store_->destroy("p")), EBUSY);
  volume_.reset();
  ASSERT_TRUE(store_->destroy("p"));
  EXPECT_EQ(code(store_->show("p")), ENOENT);
  ASSERT_TRUE(store_->collect_garbage());
  EXPECT_EQ(store_->status()->chunks, 0u);
}

}  // namespace
}  // namespace projfs
