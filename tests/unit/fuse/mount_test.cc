// SPDX-License-Identifier: MIT
//
// Against the real kernel: needs root and /dev/fuse, and says so when it has not got them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "fuse/server.h"
#include "support/memory_volume.h"

namespace projfs::fuse {
namespace {

using testing::MemoryVolume;

class MountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "there is no /dev/fuse here";
    char name[] = "/tmp/projfs-mount-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base = name;
    std::filesystem::permissions(base, std::filesystem::perms(0755));
    dir = base + "/m";
    std::filesystem::create_directory(dir);
    auto started = Server::start({.workers = 4});
    ASSERT_TRUE(started);
    server = std::move(*started);
  }
  void TearDown() override {
    server.reset();
    if (!base.empty()) std::filesystem::remove_all(base);
  }
  MountSpec spec(const std::string& id = "p") {
    MountSpec out;
    out.id = id;
    out.mountpoint = dir;
    out.volume = volume;
    return out;
  }
  void mount() {
    const auto mounted = server->mount(spec());
    ASSERT_TRUE(mounted) << mounted.error().describe();
  }
  // Anybody on the machine who runs df is in every mount for a moment.
  void unmount(const std::string& id) {
    auto done = server->unmount(id, false);
    while (!done && done.error().code == EBUSY) {
      std::this_thread::yield();
      done = server->unmount(id, false);
    }
    ASSERT_TRUE(done) << done.error().describe();
  }
  [[nodiscard]] std::string at(const std::string& name) const { return dir + "/" + name; }
  static struct stat look(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(::stat(path.c_str(), &st), 0) << path << ": " << errno;
    return st;
  }
  void write_file(const std::string& name, const std::string& data) const {
    std::ofstream(at(name)) << data;
  }
  // Runs `what` as an unprivileged user; true if it returned true.
  template <class What>
  static bool as_nobody(What&& what) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::setgid(65534) == 0 && ::setuid(65534) == 0 && what() ? 0 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  std::string base, dir;
  std::shared_ptr<MemoryVolume> volume = std::make_shared<MemoryVolume>();
  std::unique_ptr<Server> server;
};

TEST_F(MountTest, MountsAndUnmounts) {
  mount();
  EXPECT_EQ(server->mountpoint("p"), dir);
  write_file("a", "hello");
  EXPECT_EQ(volume->lookup(1, "a")->size, 5u);
  std::ifstream mounts("/proc/mounts");
  std::string all((std::istreambuf_iterator<char>(mounts)), {});
  EXPECT_NE(all.find("p " + dir + " fuse.projfs rw,nosuid,nodev,"), std::string::npos);
  unmount("p");
  EXPECT_EQ(server->mountpoint("p"), std::nullopt);
  EXPECT_EQ(volume.use_count(), 1);
  mount();
  EXPECT_EQ(look(at("a")).st_size, 5);
}

TEST_F(MountTest, ReadsAMebibyteAhead) {
  mount();
  const auto device = look(dir).st_dev;
  const std::string path = "/sys/class/bdi/" + std::to_string(major(device)) + ":" +
                           std::to_string(minor(device)) + "/read_ahead_kb";
  if (::access(path.c_str(), W_OK) != 0) GTEST_SKIP() << path << " cannot be written";
  unsigned kib = 0;
  std::ifstream(path) >> kib;
  EXPECT_EQ(kib, 1024u);
}

TEST_F(MountTest, RefusesBadMountPointsWithASentence) {
  const auto refused = [&](const std::string& path) {
    MountSpec bad = spec();
    bad.mountpoint = path;
    const auto mounted = server->mount(bad);
    EXPECT_FALSE(mounted) << path;
    if (mounted) return 0;
    EXPECT_NE(mounted.error().message.find(path), std::string::npos) << mounted.error().message;
    return mounted.error().code;
  };
  EXPECT_EQ(refused("relative"), EINVAL);
  EXPECT_EQ(refused(base + "/absent"), ENOENT);
  std::ofstream(base + "/file") << "x";
  EXPECT_EQ(refused(base + "/file"), ENOTDIR);
  EXPECT_EQ(refused(base), ENOTEMPTY);
  mount();
  MountSpec other = spec("q");
  EXPECT_EQ(server->mount(other).error().code, EBUSY);
  EXPECT_EQ(server->mount(spec()).error().code, EBUSY);
}

TEST_F(MountTest, ReadOnly) {
  MountSpec wanted = spec();
  wanted.read_only = true;
  ASSERT_TRUE(server->mount(wanted));
  EXPECT_LT(::open(at("a").c_str(), O_CREAT | O_WRONLY, 0600), 0);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(MountTest, BusyUnlessForcedAndThenServedUntilTheLastLeaves) {
  mount();
  const int fd = ::open(at("a").c_str(), O_CREAT | O_RDWR, 0600);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(server->unmount("p", false).error().code, EBUSY);
  std::promise<std::string> ended;
  server->on_unmounted([&](const std::string& id) { ended.set_value(id); });
  ASSERT_TRUE(server->unmount("p", true));
  EXPECT_EQ(server->mountpoint("p"), std::nullopt);
  EXPECT_EQ(server->unmount("p", true).error().code, ENOENT);
  EXPECT_EQ(::pwrite(fd, "late", 4, 0), 4);
  EXPECT_EQ(server->mount(spec()).error().code, EBUSY);
  ::close(fd);
  EXPECT_EQ(ended.get_future().get(), "p");
  EXPECT_EQ(volume->lookup(1, "a")->size, 4u);
}

TEST_F(MountTest, AnUnmountFromOutsideIsNoticed) {
  std::promise<std::string> ended;
  server->on_unmounted([&](const std::string& id) { ended.set_value(id); });
  mount();
  ASSERT_EQ(::umount2(dir.c_str(), 0), 0);
  EXPECT_EQ(ended.get_future().get(), "p");
  EXPECT_EQ(volume.use_count(), 1);
  EXPECT_FALSE(volume->has_kernel_view());
}

TEST_F(MountTest, StoppingUnmountsEvenWhatIsBusy) {
  mount();
  const int fd = ::open(at("a").c_str(), O_CREAT | O_RDWR, 0600);
  server.reset();
  EXPECT_LT(::pwrite(fd, "late", 4, 0), 0);
  EXPECT_EQ(errno, ENOTCONN);
  ::close(fd);
  EXPECT_TRUE(std::filesystem::is_empty(dir));
}

TEST_F(MountTest, UnlinkedFilesLiveWhileOpenAndNoLonger) {
  mount();
  const auto before = volume->inodes();
  const int fd = ::open(at("a").c_str(), O_CREAT | O_RDWR, 0600);
  ASSERT_EQ(::pwrite(fd, "still here", 10, 0), 10);
  ASSERT_EQ(::unlink(at("a").c_str()), 0);
  std::ofstream("/proc/sys/vm/drop_caches") << "2";
  // A forget of it must find that the kernel knows it still.
  const auto ino = look("/proc/self/fd/" + std::to_string(fd)).st_ino;
  volume->forget(ino);
  char data[10];
  ASSERT_EQ(::pread(fd, data, 10, 0), 10);
  EXPECT_EQ(std::string(data, 10), "still here");
  EXPECT_EQ(volume->inodes(), before + 1);
  ::close(fd);
  while (volume->inodes() > before) std::this_thread::yield();
}

TEST_F(MountTest, TmpfileLinksIn) {
  mount();
  const int fd = ::open(dir.c_str(), O_TMPFILE | O_RDWR, 0600);
  ASSERT_GE(fd, 0) << errno;
  ASSERT_EQ(::write(fd, "x", 1), 1);
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  ASSERT_EQ(::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, at("named").c_str(), AT_SYMLINK_FOLLOW), 0);
  ::close(fd);
  EXPECT_EQ(look(at("named")).st_nlink, 1u);
  EXPECT_EQ(look(at("named")).st_size, 1);
}

// As a user whom permissions bind.
TEST_F(MountTest, CreatingByOpen) {
  mount();
  ASSERT_EQ(::chmod(dir.c_str(), 0777), 0);
  EXPECT_TRUE(as_nobody([&] {
    const int fd = ::open(at("ro").c_str(), O_CREAT | O_EXCL | O_RDWR, 0444);
    if (fd < 0 || ::write(fd, "x", 1) != 1) return false;  // the mode counts from the next open on
    ::close(fd);
    if (::open(at("ro").c_str(), O_CREAT | O_EXCL | O_RDONLY, 0444) >= 0 || errno != EEXIST)
      return false;
    if (::open(at("ro").c_str(), O_CREAT | O_RDWR, 0666) >= 0 || errno != EACCES) return false;
    return ::open(at("ro").c_str(), O_CREAT | O_RDONLY, 0666) >= 0;
  }));
  EXPECT_EQ(look(at("ro")).st_mode, S_IFREG | 0444u);
  EXPECT_EQ(look(at("ro")).st_size, 1);
  const int again = ::open(at("ro").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
  ASSERT_GE(again, 0);
  ::close(again);
  EXPECT_EQ(look(at("ro")).st_mode, S_IFREG | 0444u);
  EXPECT_EQ(look(at("ro")).st_size, 0);
  ::mkdir(at("dir").c_str(), 0755);
  EXPECT_LT(::open(at("dir").c_str(), O_CREAT | O_RDWR, 0644), 0);
  EXPECT_EQ(errno, EISDIR);
  ::symlink("dangling", at("link").c_str());
  const int through = ::open(at("link").c_str(), O_CREAT | O_RDWR, 0644);
  EXPECT_GE(through, 0);
  ::close(through);
  EXPECT_EQ(look(at("dangling")).st_size, 0);
}

// What the kernel caches for a year must be right after everything that changes it.
TEST_F(MountTest, CachedAttributesStayRight) {
  mount();
  write_file("a", "12345");
  EXPECT_EQ(look(at("a")).st_nlink, 1u);
  ASSERT_EQ(::link(at("a").c_str(), at("b").c_str()), 0);
  EXPECT_EQ(look(at("a")).st_nlink, 2u);
  ASSERT_EQ(::unlink(at("a").c_str()), 0);
  EXPECT_EQ(look(at("b")).st_nlink, 1u);
  const auto same_as_volume = [&](const std::string& name) {
    const struct stat st = look(at(name));
    const auto attr = volume->lookup(1, name);
    ASSERT_TRUE(attr);
    EXPECT_EQ(st.st_mode, attr->mode);
    EXPECT_EQ(st.st_nlink, attr->nlink);
    EXPECT_EQ(static_cast<std::uint64_t>(st.st_size), attr->size);
    EXPECT_EQ(static_cast<std::uint64_t>(st.st_blocks) * 512, attr->allocated);
    EXPECT_EQ(st.st_mtim.tv_nsec, attr->mtime.tv_nsec);
    EXPECT_EQ(st.st_ctim.tv_sec, attr->ctime.tv_sec);
    EXPECT_EQ(st.st_ctim.tv_nsec, attr->ctime.tv_nsec);
  };
  same_as_volume("b");
  ASSERT_EQ(::rename(at("b").c_str(), at("c").c_str()), 0);
  same_as_volume("c");
  write_file("d", "x");
  ASSERT_EQ(::renameat2(AT_FDCWD, at("c").c_str(), AT_FDCWD, at("d").c_str(), 2), 0);
  same_as_volume("c");
  same_as_volume("d");
  const int from = ::open(at("d").c_str(), O_RDONLY), to = ::open(at("c").c_str(), O_RDWR);
  look(at("c"));
  ASSERT_EQ(::copy_file_range(from, nullptr, to, nullptr, 5, 0), 5);
  same_as_volume("c");
  ASSERT_EQ(::fallocate(to, 0, 0, 100000), 0);
  same_as_volume("c");
  ASSERT_EQ(::fallocate(to, 3, 0, 50000), 0);
  same_as_volume("c");
  ASSERT_EQ(::ftruncate(to, 10), 0);
  same_as_volume("c");
  ASSERT_EQ(::fchmod(to, 0604), 0);
  same_as_volume("c");
  ASSERT_EQ(::pwrite(to, "123", 3, 20), 3);
  same_as_volume("c");
  ::close(from);
  ::close(to);
  ::mkdir(at("dir").c_str(), 0755);
  look(at("dir"));
  ::mkdir(at("dir/sub").c_str(), 0755);
  same_as_volume("dir");
  ::rmdir(at("dir/sub").c_str());
  same_as_volume("dir");
}

TEST_F(MountTest, AnAclChangesTheModeThatStatSees) {
  mount();
  write_file("a", "x");
  ASSERT_EQ(::chmod(at("a").c_str(), 0640), 0);
  look(at("a"));
  // user::rw- user:1:rwx group::r-- mask::rwx other::---
  const unsigned char acl[] = {2,  0, 0, 0,  //
                               1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2,    0,    7,    0,
                               1,  0, 0, 0, 4,    0,    4,    0,    0xff, 0xff, 0xff, 0xff,  //
                               16, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,                          //
                               32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
  ASSERT_EQ(::setxattr(at("a").c_str(), "system.posix_acl_access", acl, sizeof acl, 0), 0) << errno;
  EXPECT_EQ(look(at("a")).st_mode & 07777, 0670u);
}

TEST_F(MountTest, SetIdGoesWithAWriteByOthers) {
  MountSpec wanted = spec();
  wanted.allow_suid = true;
  ASSERT_TRUE(server->mount(wanted));
  const auto dropped_by = [&](auto&& change) {
    write_file("s", "0123456789");
    ::chmod(at("s").c_str(), 06777);
    EXPECT_EQ(look(at("s")).st_mode & 07777, 06777u);
    EXPECT_TRUE(as_nobody([&] {
      const int fd = ::open(at("s").c_str(), O_RDWR);
      return fd >= 0 && change(fd);
    }));
    return look(at("s")).st_mode & 07777;
  };
  EXPECT_EQ(dropped_by([](int fd) { return ::pwrite(fd, "x", 1, 0) == 1; }), 0777u);
  EXPECT_EQ(dropped_by([](int fd) { return ::ftruncate(fd, 3) == 0; }), 0777u);
  EXPECT_EQ(dropped_by([](int fd) { return ::fallocate(fd, 0, 0, 5000) == 0; }), 0777u);
  EXPECT_EQ(dropped_by([&](int fd) {
              const int from = ::open(at("s").c_str(), O_RDONLY);
              loff_t in = 0, out = 20;
              return ::copy_file_range(from, &in, fd, &out, 5, 0) == 5;
            }),
            0777u);
}

// A file read once is served from the kernel's pages, however often it is opened.
TEST_F(MountTest, WarmReadsAndListingsNeverReachTheServer) {
  std::mutex mutex;
  std::string asked;  // guarded by mutex
  volume->set_hook([&](std::string_view operation, Ino ino) -> Status {
    if (operation == "forget") return {};
    const std::lock_guard lock(mutex);
    asked += std::string(operation) + " " + std::to_string(ino) + "\n";
    return {};
  });
  mount();
  std::filesystem::create_directory(at("d"));
  for (int i = 0; i < 20; ++i) write_file("d/" + std::to_string(i), "data");
  std::filesystem::create_symlink("d/1", at("link"));
  const auto look_at_all = [&] {
    unsigned seen = 0;
    for (const auto& found : std::filesystem::directory_iterator(at("d"))) {
      std::ifstream in(found.path());
      std::string data;
      in >> data;
      if (data == "data") ++seen;
    }
    EXPECT_EQ(seen, 20u);
    EXPECT_EQ(std::filesystem::read_symlink(at("link")), "d/1");
    EXPECT_FALSE(std::filesystem::exists(at("absent")));
  };
  look_at_all();
  look_at_all();  // the kernel caches a listing the second time it is read
  {
    const std::lock_guard lock(mutex);
    asked.clear();
  }
  look_at_all();
  const std::lock_guard lock(mutex);
  EXPECT_EQ(asked, "");
}

TEST_F(MountTest, HoldsManyMounts) {
  constexpr unsigned kMounts = 1200;
  for (unsigned i = 0; i < kMounts; ++i) {
    MountSpec one = spec(std::to_string(i));
    one.volume = std::make_shared<MemoryVolume>();
    one.mountpoint = base + "/many" + std::to_string(i);
    std::filesystem::create_directory(one.mountpoint);
    const auto mounted = server->mount(one);
    ASSERT_TRUE(mounted) << i << ": " << mounted.error().describe();
  }
  for (unsigned i = 0; i < kMounts; i += 100)
    std::ofstream(base + "/many" + std::to_string(i) + "/f") << i;
  for (unsigned i = 0; i < kMounts; ++i) ASSERT_NO_FATAL_FAILURE(unmount(std::to_string(i)));
}

}  // namespace
}  // namespace projfs::fuse
