// SPDX-License-Identifier: MIT
//
// Listing directories: large ones, positions that stay good while others change them.
#include <dirent.h>
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Directories : public Sandbox {
 protected:
  struct Closer {
    void operator()(DIR* d) const { ::closedir(d); }
  };
  using Dir = std::unique_ptr<DIR, Closer>;
  static void touch(const std::string& path) {
    ASSERT_EQ(0, ::mknod(path.c_str(), S_IFREG | 0644, 0)) << path << errno;
  }
};

TEST_F(Directories, EntriesTellTypeAndInode) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  ASSERT_EQ(0, ::mkdir("d/dir", 0755));
  touch("d/file");
  ASSERT_EQ(0, ::symlink("x", "d/link"));
  ASSERT_EQ(0, ::mkfifo("d/fifo", 0644));
  const std::map<std::string, int> types{{"dir", DT_DIR},   {"file", DT_REG}, {"link", DT_LNK},
                                         {"fifo", DT_FIFO}, {".", DT_DIR},    {"..", DT_DIR}};
  const Dir d(::opendir("d"));
  std::set<std::string> seen;
  while (const dirent* e = ::readdir(d.get())) {
    const std::string name = e->d_name;
    ASSERT_TRUE(seen.insert(name).second) << name << " listed twice";
    ASSERT_TRUE(types.count(name)) << name;
    if (e->d_type != DT_UNKNOWN) {
      EXPECT_EQ(types.at(name), e->d_type) << name;
    }
    EXPECT_EQ(lstat_of("d/" + name).st_ino, e->d_ino) << name;
  }
  EXPECT_EQ(types.size(), seen.size());
}

TEST_F(Directories, PositionsCanBeReturnedTo) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  for (int i = 0; i < 3000; ++i) touch("d/" + std::to_string(i));
  const Dir d(::opendir("d"));
  std::vector<std::pair<long, std::string>> listed;
  for (;;) {
    const long position = ::telldir(d.get());
    const dirent* e = ::readdir(d.get());
    if (!e) break;
    listed.emplace_back(position, e->d_name);
  }
  ASSERT_EQ(3002U, listed.size());
  for (std::size_t i = 0; i < listed.size(); i += 97) {
    ::seekdir(d.get(), listed[i].first);
    const dirent* e = ::readdir(d.get());
    ASSERT_NE(nullptr, e);
    EXPECT_EQ(listed[i].second, e->d_name);
  }
  ::rewinddir(d.get());
  touch("d/new");
  std::size_t count = 0;
  ::rewinddir(d.get());
  while (::readdir(d.get())) ++count;
  EXPECT_EQ(3003U, count) << "rewinddir sees what was added";
}

TEST_F(Directories, WhatStaysIsListedOnceWhateverElseChanges) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  for (int i = 0; i < 5000; ++i) touch("d/old" + std::to_string(i));
  const Dir d(::opendir("d"));
  std::multiset<std::string> seen;
  std::vector<long> positions;
  int step = 0;
  while (const dirent* e = ::readdir(d.get())) {
    seen.insert(e->d_name);
    if (step % 50 == 0) positions.push_back(::telldir(d.get()));
    if (step < 2000) {
      // Only odd ones go; renamed ones may be listed under either name or not at all.
      ::unlink(("d/old" + std::to_string(step * 2 + 1)).c_str());
      touch("d/new" + std::to_string(step));
      if (step % 10 == 0)
        ::rename(("d/new" + std::to_string(step)).c_str(),
                 ("d/moved" + std::to_string(step)).c_str());
    }
    ++step;
  }
  for (int i = 4000; i < 5000; ++i) EXPECT_EQ(1U, seen.count("old" + std::to_string(i))) << i;
  for (int i = 0; i < 4000; i += 2) EXPECT_EQ(1U, seen.count("old" + std::to_string(i))) << i;
  for (const auto& name : seen) EXPECT_EQ(1U, seen.count(name)) << name;
  // Positions taken before the changes go on from there: never an entry twice.
  for (std::size_t i = 0; i < positions.size(); i += 7) {
    ::seekdir(d.get(), positions[i]);
    std::set<std::string> again;
    while (const dirent* e = ::readdir(d.get())) ASSERT_TRUE(again.insert(e->d_name).second);
  }
}

TEST_F(Directories, Large) {
  const int count = long_campaign() ? 1'000'000 : 100'000;
  ASSERT_EQ(0, ::mkdir("d", 0755));
  const Fd dir = open_file("d", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(0, ::mknodat(dir, ("entry-number-" + std::to_string(i)).c_str(), S_IFREG | 0644, 0));
  std::vector<bool> seen(count);
  {
    const Dir d(::opendir("d"));
    int found = 0;
    while (const dirent* e = ::readdir(d.get())) {
      if (e->d_name[0] == '.') continue;
      const int i = std::stoi(e->d_name + 13);
      ASSERT_FALSE(seen[i]) << i;
      seen[i] = true;
      ++found;
    }
    EXPECT_EQ(count, found);
  }
  struct stat st {};
  for (int i = 0; i < count; i += count / 1000)
    ASSERT_EQ(0, ::fstatat(dir, ("entry-number-" + std::to_string(i)).c_str(), &st, 0));
  EXPECT_EQ(ENOENT, error_of(::fstatat(dir, "entry-number-x", &st, 0)));
  EXPECT_EQ(ENOTEMPTY, error_of(::rmdir("d")));
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(0, ::unlinkat(dir, ("entry-number-" + std::to_string(i)).c_str(), 0)) << i;
  EXPECT_EQ(0, error_of(::rmdir("d")));
}

}  // namespace
}  // namespace projfs::posix
