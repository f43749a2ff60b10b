// SPDX-License-Identifier: MIT
#include "fs/acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>

#include "projfs/bytes.h"

namespace projfs::fs {

std::optional<Acl> Acl::parse(std::string_view xattr) {
  Reader in(xattr);
  if (in.le32() != POSIX_ACL_XATTR_VERSION) return std::nullopt;
  Acl acl;
  unsigned owner = 0, group = 0, other = 0, mask = 0, named = 0;
  while (!in.empty()) {
    Entry e{};
    e.tag = in.le16();
    e.perm = in.le16();
    e.id = in.le32();
    if (!in.ok() || (e.perm & ~7u) != 0) return std::nullopt;
    switch (e.tag) {
      case ACL_USER_OBJ:
        ++owner;
        break;
      case ACL_GROUP_OBJ:
        ++group;
        break;
      case ACL_OTHER:
        ++other;
        break;
      case ACL_MASK:
        ++mask;
        break;
      case ACL_USER:
      case ACL_GROUP:
        ++named;
        break;
      default:
        return std::nullopt;
    }
    acl.entries_.push_back(e);
  }
  if (!in.ok() || owner != 1 || group != 1 || other != 1 || mask > 1 || (named > 0 && mask == 0))
    return std::nullopt;
  return acl;
}

std::string Acl::format() const {
  std::string out;
  put_le32(out, POSIX_ACL_XATTR_VERSION);
  for (const auto& e : entries_) {
    put_le16(out, e.tag);
    put_le16(out, e.perm);
    put_le32(out, e.id);
  }
  return out;
}

const Acl::Entry* Acl::find(std::uint16_t tag) const {
  for (const auto& e : entries_) {
    if (e.tag == tag) return &e;
  }
  return nullptr;
}

Acl::Entry* Acl::find(std::uint16_t tag) {
  for (auto& e : entries_) {
    if (e.tag == tag) return &e;
  }
  return nullptr;
}

std::uint32_t Acl::mode() const {
  const auto* mask = find(ACL_MASK);
  const auto* group = mask != nullptr ? mask : find(ACL_GROUP_OBJ);
  return static_cast<std::uint32_t>(find(ACL_USER_OBJ)->perm) << 6 |
         static_cast<std::uint32_t>(group->perm) << 3 | find(ACL_OTHER)->perm;
}

bool Acl::is_trivial() const { return entries_.size() == 3; }

void Acl::set_mode(std::uint32_t mode) {
  find(ACL_USER_OBJ)->perm = mode >> 6 & 7;
  find(ACL_OTHER)->perm = mode & 7;
  auto* mask = find(ACL_MASK);
  (mask != nullptr ? mask : find(ACL_GROUP_OBJ))->perm = mode >> 3 & 7;
}

std::uint32_t Acl::inherit(std::uint32_t mode) {
  auto* mask = find(ACL_MASK);
  auto* group = mask != nullptr ? mask : find(ACL_GROUP_OBJ);
  auto* owner = find(ACL_USER_OBJ);
  auto* other = find(ACL_OTHER);
  owner->perm &= mode >> 6 & 7;
  group->perm &= mode >> 3 & 7;
  other->perm &= mode & 7;
  return (mode & ~0777u) | this->mode();
}

}  // namespace projfs::fs
