// SPDX-License-Identifier: MIT
#include <cstring>
#include <set>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

class DirectoriesTest : public EdgeTest {
 protected:
  struct Listed {
    std::string name;
    std::uint64_t ino = 0, cookie = 0, node = 0;
    std::uint32_t type = 0;
  };
  std::vector<Listed> list(Ino dir, std::uint64_t cookie, std::uint32_t size, bool plus) {
    fuse_read_in in{};
    in.offset = cookie;
    in.size = size;
    const auto answer = kernel.call(plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir, packed(in));
    EXPECT_EQ(answer.error, 0);
    EXPECT_LE(answer.body.size(), size);
    std::vector<Listed> out;
    for (std::size_t at = 0; at < answer.body.size();) {
      Listed one;
      if (plus) {
        one.node = answer.as<fuse_entry_out>(at).nodeid;
        at += sizeof(fuse_entry_out);
      }
      const auto dirent = answer.as<fuse_dirent>(at);
      one.ino = dirent.ino;
      one.cookie = dirent.off;
      one.type = dirent.type;
      one.name = answer.body.substr(at + FUSE_NAME_OFFSET, dirent.namelen);
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dirent.namelen);
      out.push_back(one);
    }
    return out;
  }
};

TEST_F(DirectoriesTest, ListsDotsAndTypes) {
  const Ino file = make("f"), dir = make("d", S_IFDIR | 0755);
  const auto got = list(1, 0, 4096, false);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].name, ".");
  EXPECT_EQ(got[0].cookie, 1u);
  EXPECT_EQ(got[1].name, "..");
  EXPECT_EQ(got[2].name, "f");
  EXPECT_EQ(got[2].ino, file);
  EXPECT_EQ(got[2].type, static_cast<std::uint32_t>(S_IFREG >> 12));
  EXPECT_EQ(got[3].ino, dir);
  EXPECT_EQ(got[3].type, static_cast<std::uint32_t>(S_IFDIR >> 12));
}

TEST_F(DirectoriesTest, PlusBringsAttributesAlongButLooksUpNoDots) {
  const Ino file = make("f");
  const auto got = list(1, 0, 4096, true);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].node, 0u);
  EXPECT_EQ(got[1].node, 0u);
  EXPECT_EQ(got[2].node, file);
}

TEST_F(DirectoriesTest, ResumesWhereTheBufferWasFull) {
  for (const bool plus : {false, true}) {
    const Ino dir = make(plus ? "plus" : "plain", S_IFDIR | 0755);
    for (int i = 0; i < 500; ++i) make("name" + std::to_string(i), S_IFREG | 0600, dir);
    std::multiset<std::string> names;
    unsigned rounds = 0;
    for (std::uint64_t cookie = 0;; ++rounds) {
      const auto got = list(dir, cookie, 1024, plus);
      if (got.empty()) break;
      for (const auto& one : got) names.insert(one.name);
      cookie = got.back().cookie;
    }
    EXPECT_EQ(names.size(), 502u);
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), 502u);
    EXPECT_GT(rounds, 10u);
  }
}

TEST_F(DirectoriesTest, ErrorsAndTinyBuffers) {
  fuse_read_in in{};
  in.size = 4096;
  EXPECT_EQ(kernel.call(FUSE_READDIR, make("f"), packed(in)).error, ENOTDIR);
  EXPECT_EQ(kernel.call(FUSE_READDIRPLUS, 999, packed(in)).error, ESTALE);
  EXPECT_TRUE(list(1, 0, 8, false).empty());
}

}  // namespace
}  // namespace projfs::fuse
