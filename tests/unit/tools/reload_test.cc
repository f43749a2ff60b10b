// SPDX-License-Identifier: MIT
#include "reload.h"

#include <gmock/gmock.h>

namespace projfs {
namespace {

TEST(ReloadTest, NamesWhatNeedsARestart) {
  Config running, wanted;
  wanted.log_level = "debug";
  wanted.snapshots.every_seconds = 1234;
  EXPECT_TRUE(needs_restart(running, wanted).empty());
  wanted.workers = 3;
  wanted.engine.stage_bytes = 1;
  EXPECT_THAT(needs_restart(running, wanted), ::testing::ElementsAre("stage_bytes", "workers"));
}

}  // namespace
}  // namespace projfs
