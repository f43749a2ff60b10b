// SPDX-License-Identifier: MIT
#include "chunk/collector.h"

#include "unit/chunk/store_fixture.h"

namespace projfs::chunks {
namespace {

using CollectorTest = StoreTest;

TEST_F(CollectorTest, RemovesWhatLostItsLastReference) {
  const auto n = put({text(1, 2000), text(2, 2000), text(3, 2000)});
  reference({n[1]}, 1);
  reference({n[0], n[1]}, -1);
  collect_all();
  EXPECT_EQ(store_->stats().chunks, 2u);
  EXPECT_EQ(store_->stats().unique_bytes, 4000u);
  EXPECT_GT(store_->stats().dead_bytes, 0u);
  expect_eio(n[0], 2000);
  expect_content(n[1], text(2, 2000));
  expect_content(n[2], text(3, 2000));
  expect_clean({n[1], n[2]});
  EXPECT_NE(put_one(text(1, 2000)), n[0]);
}

TEST_F(CollectorTest, KeepsWhatWasReferencedAgain) {
  const auto n = put_one(text(1, 2000));
  reference({n}, -1);
  reference({n}, 1);
  collect_all();
  expect_content(n, text(1, 2000));
  expect_clean({n});
  reference({n}, -1);
  collect_all();
  EXPECT_EQ(store_->stats().chunks, 0u);
  expect_clean({});
}

TEST_F(CollectorTest, KeepsWhatARoundHolds) {
  const auto n = put_one(text(1, 2000));
  reference({n}, -1);
  auto round = store_->begin();
  ASSERT_EQ(round->add(as_bytes(text(1, 2000)), {}).value(), n);
  collect_all();
  expect_content(n, text(1, 2000));
  reference({n}, 1);
  round.reset();
  collect_all();
  expect_content(n, text(1, 2000));
  expect_clean({n});
}

TEST_F(CollectorTest, TakesWhatARoundHeldAndNobodyWanted) {
  const auto old = put_one(text(1, 2000));
  reference({old}, -1);
  auto round = store_->begin();
  ASSERT_TRUE(round->add(as_bytes(text(1, 2000)), {}));
  ASSERT_TRUE(round->add(as_bytes(text(2, 2000)), {}));
  ASSERT_TRUE(round->finish());
  ASSERT_TRUE(round->add(as_bytes(text(3, 2000)), {}));
  collect_all();
  EXPECT_EQ(store_->stats().chunks, 2u);
  round.reset();
  expect_clean({});
  collect_all();
  EXPECT_EQ(store_->stats().chunks, 0u);
  expect_clean({});
  EXPECT_EQ(store_->stats().dead_bytes,
            store_->stats().pack_bytes - store_->stats().packs * kPackHeader);
}

TEST_F(CollectorTest, ChunksOfARoundThatACrashEndedDoNotLeak) {
  auto round = store_->begin();
  const auto kept = round->add(as_bytes(text(1, 2000)), {}).value();
  ASSERT_TRUE(round->add(as_bytes(text(2, 2000)), {}));
  ASSERT_TRUE(round->finish());
  reference({kept}, 1);
  // The round must end before its store does, but after the image of the crash is taken.
  const auto then = image();
  round.reset();
  open_at(then);
  EXPECT_EQ(store_->stats().chunks, 2u);
  expect_clean({kept});
  collect_all();
  EXPECT_EQ(store_->stats().chunks, 1u);
  expect_content(kept, text(1, 2000));
  expect_clean({kept});
}

TEST_F(CollectorTest, GoesInSteps) {
  std::vector<std::string> contents;
  for (int i = 0; i < 2000; ++i) contents.push_back(text(i, 300));
  const auto n = put(contents);
  reference(n, -1);
  int steps = 0;
  for (bool more = true; more; ++steps) {
    const auto before = store_->stats().chunks;
    more = store_->collect(100).value();
    EXPECT_LE(before - store_->stats().chunks, 100u);
  }
  EXPECT_GE(steps, 20);
  EXPECT_EQ(store_->stats().chunks, 0u);
  expect_clean({});
}

TEST_F(CollectorTest, ANegativeCountRemovesNothing) {
  const auto n = put_one(text(1, 2000));
  reference({n}, -2);
  collect_all();
  expect_content(n, text(1, 2000));
  EXPECT_FALSE(check({n}).empty());
}

}  // namespace
}  // namespace projfs::chunks
