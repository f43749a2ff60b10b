// SPDX-License-Identifier: MIT
#include "host/import_turns.h"

#include <gtest/gtest.h>
#include <atomic>
#include <thread>

namespace projfs {
namespace {

TEST(ImportTurnsTest, TheSecondBeginsWhenTheFirstHasEnded) {
  ImportTurns turns;
  auto first = turns.wait("p", [] { return true; });
  ASSERT_TRUE(first);
  std::atomic<bool> first_ended{false}, asked{false};
  std::thread second([&] {
    const auto turn = turns.wait("p", [&] {
      asked = true;
      return true;
    });
    EXPECT_TRUE(turn);
    EXPECT_TRUE(first_ended);
  });
  while (!asked) std::this_thread::yield();
  first_ended = true;
  first = Result<ImportTurns::Turn>(nullptr);
  second.join();
  EXPECT_TRUE(turns.wait("p", [] { return true; }));
}

TEST(ImportTurnsTest, OtherProjectsDoNotWait) {
  ImportTurns turns;
  const auto first = turns.wait("p", [] { return true; });
  EXPECT_TRUE(turns.wait("q", [] { return false; }));
}

TEST(ImportTurnsTest, WhoWaitsCanBeInterrupted) {
  ImportTurns turns;
  const auto first = turns.wait("p", [] { return true; });
  const auto second = turns.wait("p", [] { return false; });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ECANCELED);
}

}  // namespace
}  // namespace projfs
