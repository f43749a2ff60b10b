// SPDX-License-Identifier: MIT
#include <sys/xattr.h>
#include <cstddef>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

class AttributesTest : public EdgeTest {
 protected:
  FakeKernel::Answer set(Ino ino, const fuse_setattr_in& in) {
    return kernel.call(FUSE_SETATTR, ino, packed(in));
  }
  FakeKernel::Answer setxattr(Ino ino, std::string_view name, std::string_view value,
                              std::uint32_t flags = 0, std::uint32_t more = 0) {
    fuse_setxattr_in in{};
    in.size = static_cast<std::uint32_t>(value.size());
    in.flags = flags;
    in.setxattr_flags = more;
    return kernel.call(FUSE_SETXATTR, ino, packed(in) + zero_ended(name) + std::string(value));
  }
  FakeKernel::Answer getxattr(Ino ino, std::string_view name, std::uint32_t room) {
    return kernel.call(FUSE_GETXATTR, ino,
                       packed(fuse_getxattr_in{.size = room, .padding = 0}) + zero_ended(name));
  }
};

TEST_F(AttributesTest, Getattr) {
  const auto answer = kernel.call(FUSE_GETATTR, 1, packed(fuse_getattr_in{}));
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_attr_out>().attr.mode, S_IFDIR | 0755u);
  EXPECT_GT(answer.as<fuse_attr_out>().attr_valid, 86400u);
  EXPECT_EQ(kernel.call(FUSE_GETATTR, 999, packed(fuse_getattr_in{})).error, ESTALE);
}

TEST_F(AttributesTest, SetattrTakesEachField) {
  const Ino ino = make("a");
  fuse_setattr_in in{};
  in.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME;
  in.mode = S_IFREG | 0751;
  in.uid = 11;
  in.gid = 12;
  in.size = 5000;
  in.atime = 100;
  in.atimensec = 1;
  in.mtime = 200;
  in.mtimensec = 2;
  const auto attr = set(ino, in).as<fuse_attr_out>().attr;
  EXPECT_EQ(attr.mode, S_IFREG | 0751u);
  EXPECT_EQ(attr.uid, 11u);
  EXPECT_EQ(attr.gid, 12u);
  EXPECT_EQ(attr.size, 5000u);
  EXPECT_EQ(attr.atime, 100u);
  EXPECT_EQ(attr.atimensec, 1u);
  EXPECT_EQ(attr.mtime, 200u);
  EXPECT_EQ(attr.mtimensec, 2u);
}

TEST_F(AttributesTest, TimesBefore1970SurviveTheProtocol) {
  fuse_setattr_in in{};
  in.valid = FATTR_MTIME;
  in.mtime = static_cast<std::uint64_t>(-5);
  const Ino ino = make("old");
  EXPECT_EQ(set(ino, in).as<fuse_attr_out>().attr.mtime, static_cast<std::uint64_t>(-5));
  EXPECT_EQ(volume->getattr(ino)->mtime.tv_sec, -5);
}

TEST_F(AttributesTest, SetattrToNow) {
  fuse_setattr_in in{};
  in.valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW;
  const auto attr = set(make("a"), in).as<fuse_attr_out>().attr;
  EXPECT_GT(attr.atime, 1'600'000'000u);
  EXPECT_GT(attr.mtime, 1'600'000'000u);
}

TEST_F(AttributesTest, TruncationDropsSetIdWhenTheKernelSays) {
  const Ino ino = make("a", S_IFREG | 04755);
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE;
  EXPECT_EQ(set(ino, in).as<fuse_attr_out>().attr.mode, S_IFREG | 04755u);
  in.valid |= FATTR_KILL_SUIDGID;
  EXPECT_EQ(set(ino, in).as<fuse_attr_out>().attr.mode, S_IFREG | 0755u);
}

TEST_F(AttributesTest, Statx) {
  StatxIn in{};
  in.sx_mask = 0xfff;
  const auto answer = kernel.call(kOpStatx, make("a"), packed(in));
  ASSERT_EQ(answer.error, 0);
  ASSERT_EQ(answer.body.size(), sizeof(StatxOut));
  EXPECT_EQ(answer.as<StatxOut>().mask, 0xfffu);
  EXPECT_GT(answer.as<StatxOut>().btime.tv_sec, 1'600'000'000);
  EXPECT_EQ(kernel.call(kOpStatx, 999, packed(in)).error, ESTALE);
}

TEST_F(AttributesTest, Statfs) {
  const auto st = kernel.call(FUSE_STATFS, 1).as<fuse_statfs_out>().st;
  EXPECT_EQ(st.bsize, 4096u);
  EXPECT_EQ(st.namelen, 255u);
  EXPECT_EQ(st.blocks, (1ull << 40) / 4096);
}

TEST_F(AttributesTest, XattrsThereAndBack) {
  const Ino ino = make("a");
  EXPECT_EQ(setxattr(ino, "user.x", std::string("v\0w", 3)).error, 0);
  EXPECT_EQ(setxattr(ino, "user.empty", "").error, 0);
  EXPECT_EQ(getxattr(ino, "user.x", 0).as<fuse_getxattr_out>().size, 3u);
  EXPECT_EQ(getxattr(ino, "user.x", 2).error, ERANGE);
  EXPECT_EQ(getxattr(ino, "user.x", 64).body, std::string("v\0w", 3));
  EXPECT_EQ(getxattr(ino, "user.absent", 64).error, ENODATA);
  EXPECT_EQ(setxattr(ino, "user.x", "v", XATTR_CREATE).error, EEXIST);
  EXPECT_EQ(setxattr(ino, "user.y", "v", XATTR_REPLACE).error, ENODATA);
  const fuse_getxattr_in room{.size = 64, .padding = 0};
  EXPECT_EQ(kernel.call(FUSE_LISTXATTR, ino, packed(room)).body,
            zero_ended("user.empty") + zero_ended("user.x"));
  EXPECT_EQ(
      kernel.call(FUSE_LISTXATTR, ino, packed(fuse_getxattr_in{.size = 3, .padding = 0})).error,
      ERANGE);
  EXPECT_EQ(kernel.call(FUSE_REMOVEXATTR, ino, zero_ended("user.x")).error, 0);
  EXPECT_EQ(kernel.call(FUSE_REMOVEXATTR, ino, zero_ended("user.x")).error, ENODATA);
}

TEST_F(AttributesTest, AnAclTellsWhenToDropSetGid) {
  const Ino ino = make("a", S_IFREG | 02755);
  EXPECT_EQ(setxattr(ino, "user.x", "v").error, 0);
  EXPECT_EQ(volume->getattr(ino)->mode & S_ISGID, static_cast<unsigned>(S_ISGID));
  EXPECT_EQ(setxattr(ino, "user.x", "v", 0, FUSE_SETXATTR_ACL_KILL_SGID).error, 0);
  EXPECT_EQ(volume->getattr(ino)->mode & S_ISGID, 0u);
}

TEST_F(AttributesTest, SetxattrThatLiesAboutItsSizesIsRefused) {
  const Ino ino = make("a");
  fuse_setxattr_in in{};
  in.size = 100;
  EXPECT_EQ(kernel.call(FUSE_SETXATTR, ino, packed(in) + zero_ended("user.x") + "short").error,
            EINVAL);
  EXPECT_EQ(kernel.call(FUSE_SETXATTR, ino, packed(in) + "no end").error, EINVAL);
  EXPECT_EQ(kernel.call(FUSE_SETXATTR, ino, std::string(8, '\0')).error, EINVAL);
  EXPECT_TRUE(volume->listxattr(ino)->empty());
}

class OldKernelTest : public EdgeTest {
 protected:
  OldKernelTest() : EdgeTest(without_long_setxattr()) {}
  static std::string without_long_setxattr() {
    std::string init = FakeKernel::init_of_linux_6_1();
    std::uint32_t flags = 0;
    init.copy(reinterpret_cast<char*>(&flags), 4, offsetof(fuse_init_in, flags));
    flags &= ~static_cast<std::uint32_t>(FUSE_SETXATTR_EXT);
    init.replace(offsetof(fuse_init_in, flags), 4, reinterpret_cast<char*>(&flags), 4);
    return init;
  }
};

TEST_F(OldKernelTest, ShortSetxattrIsDecodedAsNegotiated) {
  const Ino ino = make("a");
  const std::uint32_t in[2] = {1, 0};
  EXPECT_EQ(kernel.call(FUSE_SETXATTR, ino, packed(in) + zero_ended("user.x") + "v").error, 0);
  EXPECT_EQ(*volume->getxattr(ino, "user.x"), "v");
}

}  // namespace
}  // namespace projfs::fuse
