// SPDX-License-Identifier: MIT
//
// Extended attributes of every namespace, and POSIX ACLs (as the xattrs that carry them).
#include <sys/xattr.h>
#include <algorithm>
#include <cstring>

#include "sandbox.h"

namespace projfs::posix {
namespace {

class Xattrs : public Sandbox {
 protected:
  static int set(const char* path, const char* name, const std::string& value, int flags = 0) {
    return error_of(::lsetxattr(path, name, value.data(), value.size(), flags));
  }
  static std::string get(const char* path, const char* name) {
    std::string value(65536, '\0');
    const ssize_t n = ::lgetxattr(path, name, value.data(), value.size());
    if (n < 0) return "errno " + std::to_string(errno);
    value.resize(n);
    return value;
  }
  static std::vector<std::string> list(const char* path) {
    std::string all(65536, '\0');
    const ssize_t n = ::llistxattr(path, all.data(), all.size());
    EXPECT_GE(n, 0);
    std::vector<std::string> names;
    for (const char* p = all.data(); p < all.data() + n; p += std::strlen(p) + 1)
      if (std::strcmp(p, "security.selinux") != 0) names.emplace_back(p);
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(Xattrs, SetGetListRemove) {
  write_file("f", "x");
  EXPECT_EQ(0, set("f", "user.one", "1"));
  EXPECT_EQ(0, set("f", "user.empty", ""));
  EXPECT_EQ(0, set("f", "user.binary", std::string("\0\xff\n", 3)));
  EXPECT_EQ(0, set("f", "trusted.t", "root's"));
  EXPECT_EQ(0, set("f", "security.projfs-test", "label"));
  EXPECT_EQ("1", get("f", "user.one"));
  EXPECT_EQ("", get("f", "user.empty"));
  EXPECT_EQ(std::string("\0\xff\n", 3), get("f", "user.binary"));
  EXPECT_EQ("root's", get("f", "trusted.t"));
  EXPECT_EQ("label", get("f", "security.projfs-test"));
  EXPECT_EQ((std::vector<std::string>{"security.projfs-test", "trusted.t", "user.binary",
                                      "user.empty", "user.one"}),
            list("f"));
  EXPECT_EQ(0, set("f", "user.one", "longer than before"));
  EXPECT_EQ("longer than before", get("f", "user.one"));
  EXPECT_EQ(0, error_of(::removexattr("f", "user.one")));
  EXPECT_EQ(ENODATA, error_of(::removexattr("f", "user.one")));
  EXPECT_EQ("errno " + std::to_string(ENODATA), get("f", "user.one"));
}

TEST_F(Xattrs, CreateAndReplace) {
  write_file("f", "x");
  EXPECT_EQ(ENODATA, set("f", "user.a", "1", XATTR_REPLACE));
  EXPECT_EQ(0, set("f", "user.a", "1", XATTR_CREATE));
  EXPECT_EQ(EEXIST, set("f", "user.a", "2", XATTR_CREATE));
  EXPECT_EQ("1", get("f", "user.a"));
  EXPECT_EQ(0, set("f", "user.a", "2", XATTR_REPLACE));
  EXPECT_EQ("2", get("f", "user.a"));
}

TEST_F(Xattrs, SizesAndLimits) {
  write_file("f", "x");
  ASSERT_EQ(0, set("f", "user.a", "12345"));
  char small[3];
  EXPECT_EQ(5, ::getxattr("f", "user.a", nullptr, 0));
  EXPECT_EQ(ERANGE, error_of(::getxattr("f", "user.a", small, sizeof small)));
  EXPECT_EQ(7, ::listxattr("f", nullptr, 0));
  EXPECT_EQ(ERANGE, error_of(::listxattr("f", small, sizeof small)));
  const std::string longest = "user." + std::string(250, 'n');
  EXPECT_EQ(0, set("f", longest.c_str(), "v"));
  EXPECT_EQ("v", get("f", longest.c_str()));
  EXPECT_EQ(ERANGE, set("f", (longest + "n").c_str(), "v"));
  EXPECT_EQ(0, set("f", "user.big", pattern(3000, 1)));
  EXPECT_EQ(pattern(3000, 1), get("f", "user.big"));
  EXPECT_EQ(E2BIG, set("f", "user.too-big", std::string(65537, 'x')));
  EXPECT_EQ(EOPNOTSUPP, set("f", "unknown.namespace", "x"));
  EXPECT_NE(0, set("f", "user.", "x"));
}

TEST_F(Xattrs, WhoAndWhere) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  ASSERT_EQ(0, ::chmod("f", 0644));
  ASSERT_EQ(0, set("f", "trusted.t", "root's"));
  ASSERT_EQ(0, set("f", "user.u", "hers"));
  EXPECT_EQ(0, as_user(kAlice, [] { return set("f", "user.u", "changed"); }));
  EXPECT_EQ(EACCES, as_user(kBob, [] { return set("f", "user.u", "bob's"); }));
  EXPECT_EQ(0, as_user(kBob, [] { return get("f", "user.u") == "changed" ? 0 : 1; }));
  EXPECT_EQ(EPERM, as_user(kAlice, [] { return set("f", "trusted.t", "x"); }));
  EXPECT_EQ(ENODATA,
            as_user(kAlice, [] { return error_of(::getxattr("f", "trusted.t", nullptr, 0)); }));
  EXPECT_EQ(EPERM, as_user(kAlice, [] { return set("f", "security.x", "y"); }));
  ASSERT_EQ(0, ::symlink("f", "l"));
  EXPECT_EQ(EPERM, set("l", "user.u", "x"));
  EXPECT_EQ(0, set("l", "trusted.t", "on the link"));
  EXPECT_EQ("on the link", get("l", "trusted.t"));
  ASSERT_EQ(0, ::mkfifo("p", 0644));
  EXPECT_EQ(EPERM, set("p", "user.u", "x"));
  ASSERT_EQ(0, ::mkdir("d", 0755));
  EXPECT_EQ(0, set("d", "user.u", "directory"));
  ASSERT_EQ(0, ::rename("d", "e"));
  EXPECT_EQ("directory", get("e", "user.u"));
}

// Entries of an ACL in the format of its xattr (see acl_ea.h): tag, permissions, id.
struct Entry {
  std::uint16_t tag, perm;
  std::uint32_t id = 0xffffffff;
};
constexpr std::uint16_t kUserObj = 1, kUser = 2, kGroupObj = 4, kGroup = 8, kMask = 16, kOther = 32;

std::string acl(const std::vector<Entry>& entries) {
  const std::uint32_t version = 2;
  std::string out(reinterpret_cast<const char*>(&version), 4);
  for (const auto& e : entries) out.append(reinterpret_cast<const char*>(&e), 8);
  return out;
}

class Acls : public Xattrs {
 protected:
  static constexpr const char* kAccess = "system.posix_acl_access";
  static constexpr const char* kDefault = "system.posix_acl_default";
  void SetUp() override {
    Xattrs::SetUp();
    write_file("probe", "");
    if (set("probe", kAccess, acl({{kUserObj, 6}, {kGroupObj, 4}, {kOther, 4}})) == EOPNOTSUPP)
      GTEST_SKIP() << "no ACLs here";
    ::unlink("probe");
  }
};

TEST_F(Acls, GrantAndDeny) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chmod("f", 0600));
  const auto bob_reads = [] {
    return as_user(kBob, [] { return error_of(::open("f", O_RDONLY)); });
  };
  EXPECT_EQ(EACCES, bob_reads());
  ASSERT_EQ(
      0, set("f", kAccess,
             acl({{kUserObj, 6}, {kUser, 4, kBob.uid}, {kGroupObj, 0}, {kMask, 4}, {kOther, 0}})));
  EXPECT_EQ(0, bob_reads());
  EXPECT_EQ(0640U, mode_of("f")) << "the group bits show the mask";
  EXPECT_EQ(EACCES, as_user(kBob, [] { return error_of(::open("f", O_WRONLY)); }));
  EXPECT_EQ(EACCES, as_user(kAlice, [] { return error_of(::open("f", O_RDONLY)); }));
  ASSERT_EQ(0, ::chmod("f", 0600));
  EXPECT_EQ(EACCES, bob_reads()) << "chmod changes the mask";
  ASSERT_EQ(0, ::chmod("f", 0644));
  EXPECT_EQ(0, bob_reads());
  ASSERT_EQ(0,
            set("f", kAccess,
                acl({{kUserObj, 6}, {kGroupObj, 0}, {kGroup, 4, 30004}, {kMask, 7}, {kOther, 0}})));
  EXPECT_EQ(EACCES, bob_reads());
  EXPECT_EQ(0,
            as_user({kBob.uid, kBob.gid, {30004}}, [] { return error_of(::open("f", O_RDONLY)); }));
  EXPECT_EQ(0, error_of(::removexattr("f", kAccess)));
  EXPECT_EQ(EACCES,
            as_user({kBob.uid, kBob.gid, {30004}}, [] { return error_of(::open("f", O_RDONLY)); }));
}

TEST_F(Acls, AMinimalAclIsJustTheMode) {
  write_file("f", "x");
  ASSERT_EQ(0, set("f", kAccess, acl({{kUserObj, 7}, {kGroupObj, 5}, {kOther, 1}})));
  EXPECT_EQ(0751U, mode_of("f"));
  EXPECT_EQ("errno " + std::to_string(ENODATA), get("f", kAccess));
  EXPECT_TRUE(list("f").empty());
}

TEST_F(Acls, DefaultsAreInherited) {
  ASSERT_EQ(0, ::mkdir("d", 0755));
  const std::string inherited =
      acl({{kUserObj, 7}, {kUser, 6, kBob.uid}, {kGroupObj, 5}, {kMask, 7}, {kOther, 0}});
  ASSERT_EQ(0, set("d", kDefault, inherited));
  ::umask(077);  // counts for nothing where there is a default ACL
  ASSERT_EQ(0, ::mkdir("d/sub", 0777));
  write_file("d/f", "x");
  ASSERT_EQ(0, ::close(::open("d/g", O_CREAT | O_WRONLY, 0600)));
  ASSERT_EQ(0, ::symlink("f", "d/l"));
  ASSERT_EQ(0, ::mkfifo("d/p", 0666));
  ::umask(022);
  EXPECT_EQ(inherited, get("d/sub", kDefault));
  EXPECT_EQ(inherited, get("d/sub", kAccess));
  EXPECT_EQ(0770U, mode_of("d/sub"));
  EXPECT_EQ(acl({{kUserObj, 6}, {kUser, 6, kBob.uid}, {kGroupObj, 5}, {kMask, 4}, {kOther, 0}}),
            get("d/f", kAccess))
      << "created with 0644";
  EXPECT_EQ(0640U, mode_of("d/f"));
  EXPECT_EQ(acl({{kUserObj, 6}, {kUser, 6, kBob.uid}, {kGroupObj, 5}, {kMask, 0}, {kOther, 0}}),
            get("d/g", kAccess));
  EXPECT_EQ("errno " + std::to_string(ENODATA), get("d/f", kDefault));
  EXPECT_EQ(acl({{kUserObj, 6}, {kUser, 6, kBob.uid}, {kGroupObj, 5}, {kMask, 6}, {kOther, 0}}),
            get("d/p", kAccess));
  EXPECT_EQ(0, as_user(kBob, [] { return error_of(::open("d/f", O_RDONLY)); }));
  const Fd unnamed(::open("d", O_TMPFILE | O_RDWR, 0640));
  ASSERT_GE(unnamed, 0) << errno;
  EXPECT_GT(::fgetxattr(unnamed, kAccess, nullptr, 0), 0) << errno;
  ASSERT_EQ(0, error_of(::removexattr("d", kDefault)));
  ASSERT_EQ(0, ::mkdir("d/plain", 0777));
  EXPECT_EQ(0755U, mode_of("d/plain"));
  EXPECT_TRUE(list("d/plain").empty());
}

TEST_F(Acls, MalformedOnesAreRefused) {
  write_file("f", "x");
  EXPECT_EQ(EOPNOTSUPP, set("f", kAccess, "garbage")) << "another version";
  EXPECT_EQ(EINVAL, set("f", kAccess, acl({{kUserObj, 7}}) + "x"));
  EXPECT_EQ(EINVAL, set("f", kAccess, acl({{kUserObj, 7}, {kGroupObj, 5}})));
  EXPECT_EQ(EINVAL,
            set("f", kAccess, acl({{kUserObj, 7}, {kUser, 7, 1}, {kGroupObj, 5}, {kOther, 0}})))
      << "a named user needs a mask";
  EXPECT_EQ(EACCES, set("f", kDefault, acl({{kUserObj, 7}, {kGroupObj, 5}, {kOther, 0}})))
      << "files have no default ACL";
  ASSERT_EQ(0, ::chown("f", kAlice.uid, kAlice.gid));
  EXPECT_EQ(EPERM, as_user(kBob, [] {
              return set("f", kAccess, acl({{kUserObj, 7}, {kGroupObj, 7}, {kOther, 7}}));
            }));
}

TEST_F(Acls, SettingOneDropsSetGidOfNonMembers) {
  write_file("f", "x");
  ASSERT_EQ(0, ::chown("f", kAlice.uid, 30005));
  ASSERT_EQ(0, ::chmod("f", 02755));
  EXPECT_EQ(
      0, as_user(kAlice, [] {
        return set(
            "f", kAccess,
            acl({{kUserObj, 7}, {kUser, 7, kBob.uid}, {kGroupObj, 5}, {kMask, 7}, {kOther, 5}}));
      }));
  EXPECT_EQ(0775U, mode_of("f"));
}

}  // namespace
}  // namespace projfs::posix
