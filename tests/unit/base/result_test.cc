// SPDX-License-Identifier: MIT
#include "projfs/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace projfs {
namespace {

Status check(int code, int& reached) {
  PROJFS_TRY(code == 0 ? Status() : Status(fail(code, "checked")));
  ++reached;
  return {};
}

Result<std::unique_ptr<int>> make(int value) {
  if (value < 0) return fail(EINVAL, "negative");
  return std::make_unique<int>(value);
}

Result<int> add(int a, int b) {
  PROJFS_ASSIGN(const auto first, make(a));
  PROJFS_ASSIGN(std::unique_ptr<int> second, make(b));
  return *first + *second;
}

TEST(ResultTest, TryReturnsTheErrorAndOnlyThat) {
  int reached = 0;
  EXPECT_TRUE(check(0, reached));
  EXPECT_EQ(reached, 1);
  const auto failed = check(ENOENT, reached);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ENOENT);
  EXPECT_EQ(failed.error().message, "checked");
  EXPECT_EQ(reached, 1);
}

TEST(ResultTest, AssignMovesTheValueOut) {
  EXPECT_EQ(add(2, 3).value(), 5);
  EXPECT_EQ(add(2, -3).error().message, "negative");
}

TEST(ResultTest, ErrorsDescribeThemselves) {
  EXPECT_EQ((Error{ENOENT, ""}).describe(), "No such file or directory");
  EXPECT_EQ((Error{ENOENT, "no such project"}).describe(), "no such project");
  errno = EACCES;
  const auto e = fail_errno("opening x");
  EXPECT_EQ(e.value().code, EACCES);
  EXPECT_EQ(e.value().message, "opening x: Permission denied");
}

}  // namespace
}  // namespace projfs
