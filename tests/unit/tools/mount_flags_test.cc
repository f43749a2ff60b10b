// SPDX-License-Identifier: MIT
#include "mount_flags.h"

#include <gtest/gtest.h>

namespace projfs {
namespace {

TEST(MountFlags, LaterOptionsWin) {
  const auto flags = parse_mount_flags("ro,suid,dev,noexec,rw,nosuid", false);
  ASSERT_TRUE(flags);
  EXPECT_FALSE(flags->options.read_only);
  EXPECT_FALSE(flags->options.allow_suid);
  EXPECT_TRUE(flags->options.allow_devices);
  EXPECT_TRUE(flags->no_exec);
  EXPECT_FALSE(flags->remount);
}

TEST(MountFlags, NothingIsTheSafeDefault) {
  const auto flags = parse_mount_flags("", false);
  ASSERT_TRUE(flags);
  EXPECT_EQ(flags->options, MountOptions{});
}

TEST(MountFlags, WhatFstabCarriesForOthersIsTaken) {
  EXPECT_TRUE(
      parse_mount_flags("defaults,noauto,_netdev,nofail,x-systemd.requires=projfsd.service,"
                        "noatime,,allow_other,default_permissions",
                        false));
}

TEST(MountFlags, UnknownOptionsAreNamedUnlessSloppy) {
  const auto flags = parse_mount_flags("ro,shiny", false);
  ASSERT_FALSE(flags);
  EXPECT_EQ(flags.error().code, EINVAL);
  EXPECT_NE(flags.error().message.find("'shiny'"), std::string::npos);
  EXPECT_TRUE(parse_mount_flags("ro,shiny", true));
}

}  // namespace
}  // namespace projfs
