// SPDX-License-Identifier: MIT
#include "host/mount_table.h"

#include <gtest/gtest.h>
#include <fstream>

#include "support/temp_dir.h"

namespace projfs {
namespace {

class MountTableTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  std::string path_ = dir_.path() + "/mounts.json";
};

TEST_F(MountTableTest, WhatIsSavedIsLoaded) {
  const MountTable table = {{"alpha", {"/projects/alpha", {}}},
                            {"beta", {"/srv/\xc3\xa4 b", {.read_only = true, .allow_suid = true}}},
                            {"gamma", {"/g", {.allow_devices = true}}}};
  ASSERT_TRUE(save_mount_table(path_, table));
  EXPECT_EQ(load_mount_table(path_), table);
}

TEST_F(MountTableTest, AMissingFileIsAnEmptyTable) {
  const auto table = load_mount_table(path_);
  ASSERT_TRUE(table);
  EXPECT_TRUE(table->empty());
}

TEST_F(MountTableTest, ADamagedFileIsRefusedByName) {
  for (const auto* text :
       {"", "{", "[]", R"({"format":2,"mounts":[]})", R"({"format":1,"mounts":[{"id":"a"}]})"}) {
    std::ofstream(path_, std::ios::trunc) << text;
    const auto table = load_mount_table(path_);
    ASSERT_FALSE(table) << text;
    EXPECT_NE(table.error().message.find(path_), std::string::npos);
  }
}

TEST_F(MountTableTest, AFailedSaveKeepsTheOldTable) {
  const MountTable table = {{"alpha", {"/projects/alpha", {}}}};
  ASSERT_TRUE(save_mount_table(path_, table));
  EXPECT_FALSE(save_mount_table(path_, {{"beta", {"/not-utf8-\xff", {}}}}));
  EXPECT_EQ(load_mount_table(path_), table);
}

}  // namespace
}  // namespace projfs
