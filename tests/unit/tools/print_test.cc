// SPDX-License-Identifier: MIT
#include "print.h"

#include <gtest/gtest.h>

namespace projfs {
namespace {

using nlohmann::json;

json project(const std::string& id, const json& limit, const json& mountpoint) {
  return {{"id", id},
          {"state", mountpoint.is_null() ? "stopped" : "running"},
          {"mountpoint", mountpoint},
          {"role", "primary"},
          {"generation", 1},
          {"created_at", "2026-01-02T03:04:05Z"},
          {"owner", {{"uid", 0}, {"gid", 0}}},
          {"staged_bytes", 0},
          {"snapshots", 12},
          {"quota", {{"bytes", limit}, {"inodes", nullptr}, {"history_bytes", nullptr}}},
          {"usage", {{"bytes", 1536}, {"inodes", 3}, {"history_bytes", 0}}}};
}

TEST(Print, ProjectsAsATable) {
  EXPECT_EQ(print_projects(json::array()), "no projects; 'projfs-admin create ID' makes one\n");
  const auto table = print_projects(
      json::array({project("a", 10u << 20, "/projects/a"), project("longer", nullptr, nullptr)}));
  EXPECT_EQ(table,
            "ID      STATE    USED     QUOTA   INODES  SNAPSHOTS  MOUNTPOINT\n"
            "a       running  1.5 KiB  10 MiB  3       12         /projects/a\n"
            "longer  stopped  1.5 KiB  -       3       12         -\n");
}

TEST(Print, OneProjectWithItsLimits) {
  const auto text = print_project(project("a", 10u << 20, nullptr));
  EXPECT_NE(text.find("1.5 KiB of 10 MiB"), std::string::npos) << text;
  EXPECT_NE(text.find("3, no limit"), std::string::npos) << text;
}

TEST(Print, WhySnapshotsAreSkipped) {
  auto p = project("a", 10u << 20, nullptr);
  EXPECT_EQ(print_project(p).find("skipped"), std::string::npos);
  p["snapshots_skipped"] = "history is full";
  EXPECT_NE(print_project(p).find("automatic snapshots: history is full"), std::string::npos);
}

TEST(Print, SnapshotsWithWhatTheyCost) {
  EXPECT_NE(print_snapshots(json::array()).find("mkdir .snapshots/NAME"), std::string::npos);
  const auto text = print_snapshots(json::array({{{"name", "before"},
                                                  {"created_at", "2026-01-02T03:04:05Z"},
                                                  {"held", true},
                                                  {"automatic", false},
                                                  {"logical_bytes", 1536},
                                                  {"freed_if_deleted_bytes", 4096}}}));
  EXPECT_NE(text.find("before"), std::string::npos) << text;
  EXPECT_NE(text.find("1.5 KiB  4 KiB             held\n"), std::string::npos) << text;
}

TEST(Print, VersionsSayWhichIsNow) {
  const auto text = print_versions(json::array(
      {{{"snapshot", nullptr}, {"mtime", "2026-01-02T03:04:05Z"}, {"size", 1}, {"inode", 5}},
       {{"snapshot", "a"}, {"mtime", "2026-01-01T03:04:05Z"}, {"size", 2}, {"inode", 5}}}));
  EXPECT_NE(text.find("(now)"), std::string::npos) << text;
  EXPECT_NE(text.find("\na "), std::string::npos) << text;
}

TEST(Print, ChangesAsOneLineEach) {
  EXPECT_EQ(print_change({{"change", "added"}, {"path", "d"}, {"type", "directory"}}), "+ d/\n");
  EXPECT_EQ(
      print_change({{"change", "renamed"}, {"path", "b"}, {"old_path", "a"}, {"type", "file"}}),
      "R a -> b\n");
}

TEST(Print, CopyNamesWhatFailed) {
  const json outcome = {{"files", 1},     {"directories", 2},
                        {"others", 3},    {"bytes", 1024},
                        {"unchanged", 0}, {"failed", 2},
                        {"seconds", 1.5}, {"problems", json::array({"a: cannot read it"})}};
  const auto text = print_copy(outcome);
  EXPECT_NE(text.find("a: cannot read it"), std::string::npos);
  EXPECT_NE(text.find("and 1 more"), std::string::npos);
}

TEST(Print, CheckCountsProblems) {
  json report = {{"projects", 1}, {"inodes", 2}, {"entries", 3},
                 {"extents", 4},  {"chunks", 5}, {"problems", json::array()}};
  EXPECT_NE(print_check(report).find("no problems"), std::string::npos);
  report["problems"] = {"one thing"};
  EXPECT_NE(print_check(report).find("1 problem\n  one thing"), std::string::npos);
}

}  // namespace
}  // namespace projfs
