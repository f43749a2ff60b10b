// SPDX-License-Identifier: MIT
//
// Names and paths: what may be one, what creating, linking and removing them does, and the error
// for each way to get it wrong.
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <algorithm>
#include <climits>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Names : public Sandbox {};

TEST_F(Names, AnyByteButSlashAndNul) {
  std::vector<std::string> names;
  for (int c = 1; c < 256; ++c) {
    if (c == '/' || c == '.') continue;
    names.push_back(std::string(1, static_cast<char>(c)));
  }
  names.push_back("...");
  names.push_back(" leading and trailing ");
  names.push_back("\xff\xfe not UTF-8 \x80");
  names.push_back("new\nline");
  names.push_back(".hidden");
  names.push_back(std::string(NAME_MAX, '\xe9'));
  for (const auto& n : names) write_file(n, n);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, names_in("."));
  for (const auto& n : names) EXPECT_EQ(n, read_file(n));
  write_file("Case", "upper");
  write_file("case", "lower");
  EXPECT_EQ("upper", read_file("Case"));
  // Composed and decomposed forms of one letter are two names.
  write_file("\xc3\xa9", "composed");
  write_file("e\xcc\x81", "decomposed");
  EXPECT_EQ("composed", read_file("\xc3\xa9"));
}

TEST_F(Names, LengthLimits) {
  const std::string longest(NAME_MAX, 'n');
  const std::string too_long(NAME_MAX + 1, 'n');
  write_file(longest, "x");
  EXPECT_EQ(0, error_of(::rename(longest.c_str(), "f")));
  EXPECT_EQ(ENAMETOOLONG, error_of(::open(too_long.c_str(), O_CREAT | O_RDWR, 0644)));
  EXPECT_EQ(ENAMETOOLONG, error_of(::mkdir(too_long.c_str(), 0755)));
  EXPECT_EQ(ENAMETOOLONG, error_of(::mkfifo(too_long.c_str(), 0755)));
  EXPECT_EQ(ENAMETOOLONG, error_of(::symlink("f", too_long.c_str())));
  EXPECT_EQ(ENAMETOOLONG, error_of(::link("f", too_long.c_str())));
  EXPECT_EQ(ENAMETOOLONG, error_of(::rename("f", too_long.c_str())));
  EXPECT_EQ(ENAMETOOLONG, error_of(::unlink(too_long.c_str())));
  EXPECT_EQ(ENAMETOOLONG, error_of(::rmdir(too_long.c_str())));
  struct stat st {};
  EXPECT_EQ(ENAMETOOLONG, error_of(::stat(too_long.c_str(), &st)));
  std::string path;
  while (path.size() < PATH_MAX) path += "./";
  EXPECT_EQ(ENAMETOOLONG, error_of(::stat((path + "f").c_str(), &st)));
  EXPECT_EQ(NAME_MAX, ::pathconf(".", _PC_NAME_MAX));
}

TEST_F(Names, DeepTrees) {
  constexpr int kDepth = 300;
  const Fd top = open_file(".", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(0, ::mkdir("deep-directory-name", 0755)) << i;
    ASSERT_EQ(0, ::chdir("deep-directory-name")) << i;
  }
  write_file("bottom", "reached");
  for (int i = 0; i < kDepth; ++i) ASSERT_EQ(0, ::chdir("..")) << i;
  struct stat a {
  }, b{};
  ASSERT_EQ(0, ::stat(".", &a));
  ASSERT_EQ(0, ::fstat(top, &b));
  EXPECT_EQ(a.st_ino, b.st_ino);
}

TEST_F(Names, SymbolicLinks) {
  const std::string longest(PATH_MAX - 1, 't');
  ASSERT_EQ(0, ::symlink(longest.c_str(), "long"));
  std::string buffer(PATH_MAX, '\0');
  ASSERT_EQ(PATH_MAX - 1, ::readlink("long", buffer.data(), buffer.size()));
  EXPECT_EQ(longest, buffer.substr(0, PATH_MAX - 1));
  EXPECT_EQ(PATH_MAX - 1, lstat_of("long").st_size);
  EXPECT_EQ(ENAMETOOLONG, error_of(::symlink(std::string(PATH_MAX, 't').c_str(), "longer")));
  ASSERT_EQ(4, ::readlink("long", buffer.data(), 4)) << "cut to the buffer";

  ASSERT_EQ(0, ::symlink("loop-b", "loop-a"));
  ASSERT_EQ(0, ::symlink("loop-a", "loop-b"));
  struct stat st {};
  EXPECT_EQ(ELOOP, error_of(::stat("loop-a", &st)));
  EXPECT_EQ(ELOOP, error_of(::open("loop-a", O_RDONLY)));
  EXPECT_EQ(ELOOP, error_of(::open("loop-a", O_RDONLY | O_NOFOLLOW)));
  EXPECT_EQ(ELOOP, error_of(::truncate("loop-a", 0)));
  EXPECT_EQ(ELOOP, error_of(::mkdir("loop-a/x", 0755)));
  EXPECT_EQ(0, error_of(::unlink("loop-a")));

  ASSERT_EQ(0, ::mkdir("d", 0755));
  ASSERT_EQ(0, ::symlink("d", "to-d"));
  write_file("to-d/f", "through");
  EXPECT_EQ("through", read_file("d/f"));
  EXPECT_EQ(EEXIST, error_of(::symlink("x", "to-d")));
  EXPECT_EQ(EINVAL, error_of(::readlink("d", buffer.data(), buffer.size())));
  EXPECT_EQ(ENOTDIR, error_of(::rmdir("to-d")));
  EXPECT_EQ(ENOENT, error_of(::symlink("", "empty")));
  ASSERT_EQ(0, ::symlink("nowhere", "dangling"));
  EXPECT_EQ(EEXIST, error_of(::open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644)));
  const Fd made = open_file("dangling", O_CREAT | O_RDWR);
  EXPECT_TRUE(exists("nowhere"));
}

TEST_F(Names, ErrorsOfPaths) {
  write_file("f", "x");
  ASSERT_EQ(0, ::mkdir("d", 0755));
  ASSERT_EQ(0, ::mkdir("d/sub", 0755));
  EXPECT_EQ(ENOTDIR, error_of(::open("f/x", O_RDONLY)));
  EXPECT_EQ(ENOTDIR, error_of(::open("f", O_RDONLY | O_DIRECTORY)));
  EXPECT_EQ(ENOTDIR, error_of(::mkdir("f/x", 0755)));
  EXPECT_EQ(ENOTDIR, error_of(::rmdir("f")));
  EXPECT_EQ(ENOENT, error_of(::open("none/x", O_CREAT | O_RDWR, 0644)));
  EXPECT_EQ(ENOENT, error_of(::open("none", O_RDONLY)));
  EXPECT_EQ(ENOENT, error_of(::unlink("none")));
  EXPECT_EQ(ENOENT, error_of(::rmdir("none")));
  EXPECT_EQ(ENOENT, error_of(::rename("none", "x")));
  EXPECT_EQ(ENOENT, error_of(::link("none", "x")));
  EXPECT_EQ(EEXIST, error_of(::mkdir("d", 0755)));
  EXPECT_EQ(EEXIST, error_of(::mkdir("f", 0755)));
  EXPECT_EQ(EEXIST, error_of(::mkfifo("f", 0644)));
  EXPECT_EQ(EEXIST, error_of(::link("f", "d")));
  EXPECT_EQ(EEXIST, error_of(::open("f", O_CREAT | O_EXCL | O_RDWR, 0644)));
  EXPECT_EQ(EISDIR, error_of(::open("d", O_WRONLY)));
  EXPECT_EQ(EISDIR, error_of(::open("d", O_RDWR | O_CREAT, 0644)));
  EXPECT_EQ(EISDIR, error_of(::unlink("d")));
  EXPECT_EQ(EISDIR, error_of(::truncate("d", 0)));
  EXPECT_EQ(ENOTEMPTY, error_of(::rmdir("d")));
  EXPECT_EQ(EINVAL, error_of(::rmdir("d/.")));
  EXPECT_EQ(ENOTEMPTY, error_of(::rmdir("d/sub/..")));
  EXPECT_EQ(EPERM, error_of(::link("d", "hard")));
  EXPECT_EQ(EINVAL, error_of(::truncate("f", -1)));
  EXPECT_EQ(0, error_of(::rmdir("d/sub")));
  EXPECT_EQ(0, error_of(::rmdir("d")));
}

TEST_F(Names, HardLinks) {
  write_file("a", "content");
  EXPECT_EQ(1U, stat_of("a").st_nlink);
  let_clock_move();
  const auto before = stat_of("a");
  ASSERT_EQ(0, ::link("a", "b"));
  const auto after = stat_of("b");
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(2U, after.st_nlink);
  EXPECT_GT(ns(after.st_ctim), ns(before.st_ctim));
  EXPECT_EQ(ns(before.st_mtim), ns(after.st_mtim));
  write_file("b", "changed");
  EXPECT_EQ("changed", read_file("a"));
  ASSERT_EQ(0, ::unlink("a"));
  EXPECT_EQ(1U, stat_of("b").st_nlink);
  EXPECT_EQ("changed", read_file("b"));
  ASSERT_EQ(0, ::symlink("b", "s"));
  ASSERT_EQ(0, ::link("s", "s2"));
  EXPECT_TRUE(S_ISLNK(lstat_of("s2").st_mode)) << "link() does not follow";
  EXPECT_EQ(2U, lstat_of("s").st_nlink);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(0, ::link("b", ("l" + std::to_string(i)).c_str())) << i;
  EXPECT_EQ(1001U, stat_of("b").st_nlink);
  EXPECT_EQ(stat_of("b").st_ino, stat_of("l999").st_ino);
}

TEST_F(Names, DirectoriesCountTheirSubdirectories) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  EXPECT_EQ(2U, stat_of("d").st_nlink);
  ASSERT_EQ(0, ::mkdir("d/a", 0755));
  ASSERT_EQ(0, ::mkdir("d/b", 0755));
  write_file("d/f", "x");
  EXPECT_EQ(4U, stat_of("d").st_nlink);
  ASSERT_EQ(0, ::mkdir("e", 0755));
  ASSERT_EQ(0, ::rename("d/a", "e/a"));
  EXPECT_EQ(3U, stat_of("d").st_nlink);
  EXPECT_EQ(3U, stat_of("e").st_nlink);
  EXPECT_EQ(stat_of("e").st_ino, stat_of("e/a/..").st_ino);
  ASSERT_EQ(0, ::rmdir("d/b"));
  EXPECT_EQ(2U, stat_of("d").st_nlink);
}

TEST_F(Names, RemovedDirectoriesAreDead) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  const Fd d = open_file("d", O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(0, ::rmdir("d"));
  struct stat st {};
  ASSERT_EQ(0, ::fstat(d, &st));
  EXPECT_EQ(0U, st.st_nlink);
  EXPECT_EQ(ENOENT, error_of(::openat(d, "x", O_CREAT | O_RDWR, 0644)));
  EXPECT_EQ(ENOENT, error_of(::mkdirat(d, "x", 0755)));
  EXPECT_EQ(ENOENT, error_of(::symlinkat("x", d, "x")));
  ASSERT_EQ(0, ::mkdir("d", 0755)) << "the name is free";
}

TEST_F(Names, SpecialFiles) {
  ASSERT_EQ(0, ::mkfifo("fifo", 0640));
  EXPECT_TRUE(S_ISFIFO(lstat_of("fifo").st_mode));
  EXPECT_EQ(0640U, mode_of("fifo"));
  EXPECT_EQ(ENXIO, error_of(::open("fifo", O_WRONLY | O_NONBLOCK)));
  {
    const Fd in = open_file("fifo", O_RDONLY | O_NONBLOCK);
    const Fd out = open_file("fifo", O_WRONLY | O_NONBLOCK);
    ASSERT_EQ(3, ::write(out, "abc", 3));
    char got[3];
    ASSERT_EQ(3, ::read(in, got, 3));
  }
  ASSERT_EQ(0, ::mknod("chr", S_IFCHR | 0600, makedev(1, 3)));
  ASSERT_EQ(0, ::mknod("blk", S_IFBLK | 0600, makedev(259, 70000)));
  EXPECT_TRUE(S_ISCHR(lstat_of("chr").st_mode));
  EXPECT_TRUE(S_ISBLK(lstat_of("blk").st_mode));
  EXPECT_EQ(makedev(1, 3), lstat_of("chr").st_rdev);
  EXPECT_EQ(makedev(259, 70000), lstat_of("blk").st_rdev);
  EXPECT_EQ(EPERM,
            as_user(kBob, [] { return error_of(::mknod("bobs", S_IFCHR | 0600, makedev(1, 3))); }));
  ASSERT_EQ(0, ::mknod("reg", S_IFREG | 0640, 0));
  EXPECT_TRUE(S_ISREG(lstat_of("reg").st_mode));
  EXPECT_EQ(0, lstat_of("reg").st_size);

  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy_n("sock", 5, address.sun_path);
  const auto* as_sockaddr = reinterpret_cast<const sockaddr*>(&address);
  ASSERT_EQ(0, ::bind(listener, as_sockaddr, sizeof address));
  ASSERT_EQ(0, ::listen(listener, 1));
  EXPECT_TRUE(S_ISSOCK(lstat_of("sock").st_mode));
  EXPECT_EQ(ENXIO, error_of(::open("sock", O_RDONLY)));
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(0, error_of(::connect(client, as_sockaddr, sizeof address)));
  for (const char* n : {"fifo", "chr", "blk", "reg", "sock"}) {
    ASSERT_EQ(0, ::link(n, "hard")) << n;
    ASSERT_EQ(0, ::rename("hard", "moved")) << n;
    EXPECT_EQ(lstat_of(n).st_ino, lstat_of("moved").st_ino) << n;
    ASSERT_EQ(0, ::unlink("moved")) << n;
  }
}

}  // namespace
}  // namespace projfs::posix
