// SPDX-License-Identifier: MIT
#include "fs/acl.h"

#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include "projfs/bytes.h"

namespace projfs::fs {
namespace {

struct Entry {
  std::uint16_t tag, perm;
  std::uint32_t id;
};

std::string acl(std::initializer_list<Entry> entries) {
  std::string out;
  put_le32(out, POSIX_ACL_XATTR_VERSION);
  for (const auto& e : entries) {
    put_le16(out, e.tag);
    put_le16(out, e.perm);
    put_le32(out, e.id);
  }
  return out;
}

const std::string kNamed = acl({{ACL_USER_OBJ, 7, 0},
                                {ACL_USER, 6, 1000},
                                {ACL_GROUP_OBJ, 5, 0},
                                {ACL_MASK, 6, 0},
                                {ACL_OTHER, 1, 0}});

TEST(AclTest, ReadsAndWritesWhatTheKernelKeeps) {
  const auto parsed = Acl::parse(kNamed);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->format(), kNamed);
  EXPECT_EQ(parsed->mode(), 0761u);  // the mask stands for the group
  EXPECT_FALSE(parsed->is_trivial());
}

TEST(AclTest, RefusesWhatIsNoAcl) {
  EXPECT_FALSE(Acl::parse(""));
  EXPECT_FALSE(Acl::parse(kNamed.substr(0, kNamed.size() - 1)));
  EXPECT_FALSE(Acl::parse(acl({{ACL_USER_OBJ, 7, 0}, {ACL_OTHER, 1, 0}})));
  EXPECT_FALSE(Acl::parse(acl({{ACL_USER_OBJ, 7, 0}, {ACL_GROUP_OBJ, 9, 0}, {ACL_OTHER, 1, 0}})));
  // Named entries need a mask.
  EXPECT_FALSE(Acl::parse(
      acl({{ACL_USER_OBJ, 7, 0}, {ACL_USER, 7, 5}, {ACL_GROUP_OBJ, 5, 0}, {ACL_OTHER, 1, 0}})));
}

TEST(AclTest, AChmodChangesTheMaskNotTheGroup) {
  auto parsed = *Acl::parse(kNamed);
  parsed.set_mode(0640);
  EXPECT_EQ(parsed.format(), acl({{ACL_USER_OBJ, 6, 0},
                                  {ACL_USER, 6, 1000},
                                  {ACL_GROUP_OBJ, 5, 0},
                                  {ACL_MASK, 4, 0},
                                  {ACL_OTHER, 0, 0}}));
}

TEST(AclTest, InheritanceGrantsNoMoreThanAsked) {
  auto parsed = *Acl::parse(kNamed);
  EXPECT_EQ(parsed.inherit(0100666), 0100660u);
  EXPECT_EQ(parsed.mode(), 0660u);
  auto trivial = *Acl::parse(acl({{ACL_USER_OBJ, 7, 0}, {ACL_GROUP_OBJ, 5, 0}, {ACL_OTHER, 5, 0}}));
  EXPECT_TRUE(trivial.is_trivial());
  EXPECT_EQ(trivial.inherit(0777), 0755u);
}

}  // namespace
}  // namespace projfs::fs
