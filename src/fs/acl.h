// SPDX-License-Identifier: MIT
//
// POSIX ACLs as the kernel stores them in system.posix_acl_access and system.posix_acl_default
// (linux/posix_acl_xattr.h), and their relation to the mode bits (acl(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace projfs::fs {

inline constexpr std::string_view kAccessAclName = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAclName = "system.posix_acl_default";

class Acl {
 public:
  static std::optional<Acl> parse(std::string_view xattr);  // nullopt: not a valid ACL
  [[nodiscard]] std::string format() const;

  // Owner, group (or mask) and other as permission bits.
  [[nodiscard]] std::uint32_t mode() const;
  // Only owner, group and other: says nothing the mode does not.
  [[nodiscard]] bool is_trivial() const;
  // After a chmod.
  void set_mode(std::uint32_t mode);
  // For a new object that inherits this default ACL: turns it into its access ACL and returns its
  // permission bits, those asked for at the most.
  std::uint32_t inherit(std::uint32_t mode);

 private:
  struct Entry {
    std::uint16_t tag, perm;
    std::uint32_t id;
  };
  [[nodiscard]] const Entry* find(std::uint16_t tag) const;
  Entry* find(std::uint16_t tag);

  std::vector<Entry> entries_;
};

}  // namespace projfs::fs
