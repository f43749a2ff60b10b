// SPDX-License-Identifier: MIT
#include "host/mounts.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

#include "support/fake_mounter.h"
#include "support/fake_store.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

class MountsTest : public ::testing::Test {
 protected:
  MountsTest() {
    for (const auto* id : {"alpha", "beta"}) EXPECT_TRUE(store_.create({.id = id}));
  }
  [[nodiscard]] MountTable saved() const { return load_mount_table(table_).value(); }
  [[nodiscard]] std::string at(const std::string& id) const { return root_ + "/" + id; }

  testing::TempDir dir_;
  std::string root_ = dir_.path() + "/projects";
  std::string table_ = dir_.path() + "/mounts.json";
  testing::FakeStore store_;
  testing::FakeMounter mounter_;
  Mounts mounts_{store_, mounter_, root_, table_};
};

TEST_F(MountsTest, MountsUnderTheRootAndRemembersIt) {
  ASSERT_TRUE(mounts_.mount("alpha", std::nullopt, {.read_only = true}));
  EXPECT_EQ(mounter_.mounts.at("alpha").mountpoint, at("alpha"));
  EXPECT_TRUE(mounter_.mounts.at("alpha").options.read_only);
  EXPECT_EQ(saved(), (MountTable{{"alpha", {at("alpha"), {.read_only = true}}}}));
  EXPECT_EQ(mounts_.mountpoint("alpha"), at("alpha"));
  EXPECT_EQ(mounts_.count(), 1u);
}

TEST_F(MountsTest, AChosenMountPointIsNotCreated) {
  const auto refused = mounts_.mount("alpha", dir_.path() + "/elsewhere", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOENT);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/elsewhere"));
  EXPECT_FALSE(mounts_.mount("alpha", "relative", {}));
}

TEST_F(MountsTest, AFailedMountLeavesNothing) {
  std::filesystem::create_directories(at("alpha"));
  std::ofstream(at("alpha") + "/file") << "x";
  const auto refused = mounts_.mount("alpha", std::nullopt, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOTEMPTY);
  EXPECT_TRUE(saved().empty());
  EXPECT_TRUE(std::filesystem::exists(at("alpha") + "/file"));
}

TEST_F(MountsTest, UnknownAndMalformedIdsMakeNoDirectories) {
  EXPECT_EQ(mounts_.mount("nobody", std::nullopt, {}).error().code, ENOENT);
  EXPECT_EQ(mounts_.mount("../alpha", std::nullopt, {}).error().code, EINVAL);
  EXPECT_FALSE(std::filesystem::exists(root_));
}

TEST_F(MountsTest, AProjectIsMountedOnceAndAPlaceTakenOnce) {
  ASSERT_TRUE(mounts_.mount("alpha", std::nullopt, {}));
  const auto again = mounts_.mount("alpha", std::nullopt, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, EBUSY);
  const auto other = mounts_.mount("beta", at("alpha"), {});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, EBUSY);
  EXPECT_NE(other.error().message.find("alpha"), std::string::npos);
  // The refusal does not leave beta locked.
  EXPECT_TRUE(mounts_.mount("beta", std::nullopt, {}));
}

TEST_F(MountsTest, UnmountingForgets) {
  ASSERT_TRUE(mounts_.mount("alpha", std::nullopt, {}));
  mounter_.in_use.insert("alpha");
  EXPECT_EQ(mounts_.unmount("alpha", false).error().code, EBUSY);
  EXPECT_FALSE(saved().empty());
  EXPECT_TRUE(mounts_.unmount("alpha", true));
  EXPECT_TRUE(saved().empty());
  EXPECT_EQ(mounts_.unmount("alpha", false).error().code, ENOENT);
}

TEST_F(MountsTest, AnUnmountFromOutsideForgetsUnlessTheDaemonStops) {
  ASSERT_TRUE(mounts_.mount("alpha", std::nullopt, {}));
  ASSERT_TRUE(mounts_.mount("beta", std::nullopt, {}));
  mounter_.unmount_from_outside("alpha");
  EXPECT_FALSE(saved().contains("alpha"));
  mounts_.keep_remembering();
  mounter_.unmount_from_outside("beta");
  EXPECT_TRUE(saved().contains("beta"));
  EXPECT_FALSE(mounts_.mount("alpha", std::nullopt, {}));
}

TEST_F(MountsTest, RestoreMountsWhatWasMounted) {
  ASSERT_TRUE(save_mount_table(table_, {{"alpha", {at("alpha"), {.read_only = true}}},
                                        {"beta", {dir_.path() + "/missing", {}}},
                                        {"destroyed", {at("destroyed"), {}}}}));
  ASSERT_TRUE(mounts_.restore());
  EXPECT_EQ(mounts_.mountpoint("alpha"), at("alpha"));
  EXPECT_TRUE(mounter_.mounts.at("alpha").options.read_only);
  EXPECT_EQ(mounts_.mountpoint("beta"), std::nullopt);
  // What may work next time stays remembered, what never will does not.
  EXPECT_TRUE(saved().contains("beta"));
  EXPECT_FALSE(saved().contains("destroyed"));
  // And can be forgotten although it is not mounted.
  EXPECT_TRUE(mounts_.unmount("beta", false));
  EXPECT_FALSE(saved().contains("beta"));
}

TEST_F(MountsTest, WhatOutlivedTheDaemonIsAdoptedAndNotMounted) {
  ASSERT_TRUE(save_mount_table(table_, {{"alpha", {at("alpha"), {.read_only = true}}}}));
  mounter_.left_over = {{.mount = {"alpha", at("alpha"), {.read_only = true}}, .outcome = {}}};
  ASSERT_TRUE(mounts_.restore());
  EXPECT_TRUE(mounter_.mounts.at("alpha").options.read_only);
  EXPECT_FALSE(std::filesystem::exists(at("alpha")));  // nothing was mounted
  EXPECT_EQ(mounts_.count(), 1u);
}

TEST_F(MountsTest, AMountThatWasNotWrittenDownYetIsRemembered) {
  mounter_.left_over = {{.mount = {"beta", at("beta"), {}}, .outcome = {}}};
  ASSERT_TRUE(mounts_.restore());
  EXPECT_EQ(saved(), (MountTable{{"beta", {at("beta"), {}}}}));
}

TEST_F(MountsTest, AMountWithoutANameIsServedAndNotRemembered) {
  mounter_.left_over = {{.mount = {"beta", at("beta"), {}}, .outcome = {}, .named = false}};
  ASSERT_TRUE(mounts_.restore());
  EXPECT_TRUE(saved().empty());
}

TEST_F(MountsTest, WhatCannotBeAdoptedIsMountedAnew) {
  ASSERT_TRUE(save_mount_table(table_, {{"alpha", {at("alpha"), {}}}, {"beta", {at("beta"), {}}}}));
  mounter_.left_over = {{.mount = {"alpha", at("alpha"), {}}, .outcome = fail(EOPNOTSUPP)},
                        {.mount = {"beta", at("beta"), {}}, .outcome = fail(ENODEV)},
                        {.mount = {"gone", at("gone"), {}}, .outcome = {}}};
  ASSERT_TRUE(mounts_.restore());
  EXPECT_EQ(mounts_.count(), 2u);
  EXPECT_TRUE(std::filesystem::exists(at("alpha")));
  EXPECT_TRUE(std::filesystem::exists(at("beta")));
  EXPECT_FALSE(saved().contains("gone"));
}

TEST_F(MountsTest, RestoreRefusesADamagedTable) {
  std::ofstream(table_) << "{";
  EXPECT_FALSE(mounts_.restore());
}

}  // namespace
}  // namespace projfs
