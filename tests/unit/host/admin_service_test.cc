// SPDX-License-Identifier: MIT
#include "host/admin_service.h"

#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>

#include "support/fake_mounter.h"
#include "support/fake_store.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using nlohmann::json;

class AdminServiceTest : public ::testing::Test {
 protected:
  Result<json> ask(const json& request, AdminPeer peer = {.uid = 0, .admin = true}) {
    return service_.handle(request, peer, [](double, const std::string&) { return true; });
  }
  Error refusal(const json& request, AdminPeer peer = {.uid = 0, .admin = true}) {
    const auto answer = ask(request, peer);
    return answer ? Error{0, "no error: " + answer->dump()} : answer.error();
  }
  json create(const std::string& id, json more = json::object()) {
    more["verb"] = "create";
    more["id"] = id;
    auto made = ask(more);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made.value_or(json());
  }

  testing::TempDir dir_;
  std::string root_ = dir_.path() + "/projects";
  testing::FakeStore store_;
  testing::FakeMounter mounter_;
  Mounts mounts_{store_, mounter_, root_, dir_.path() + "/mounts.json"};
  SnapshotService snapshots_{store_, {}};
  Lifecycle lifecycle_{store_, mounts_, snapshots_, dir_.path() + "/lifecycle"};
  AdminService service_{{store_, mounts_, mounter_, snapshots_, lifecycle_}};
};

TEST_F(AdminServiceTest, CreateMountsAndAnswersWithTheProject) {
  const auto project = create("alpha", {{"bytes", 4096}, {"uid", 7}, {"gid", 8}});
  EXPECT_EQ(project["id"], "alpha");
  EXPECT_EQ(project["state"], "running");
  EXPECT_EQ(project["mountpoint"], root_ + "/alpha");
  EXPECT_EQ(project["role"], "primary");
  EXPECT_EQ(project["generation"], 1);
  EXPECT_EQ(project["created_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(project["quota"]["bytes"], 4096);
  EXPECT_TRUE(project["quota"]["inodes"].is_null());
  EXPECT_EQ(project["quota"]["history_bytes"], 3 * 4096) << "unless said otherwise";
  EXPECT_EQ(project["usage"], (json{{"bytes", 0}, {"inodes", 1}, {"history_bytes", 0}}));
  EXPECT_EQ(project["snapshots"], 0);
  EXPECT_EQ(project["replicas"], json::array());
  EXPECT_EQ(project["owner"]["uid"], 7);
}

TEST_F(AdminServiceTest, CreateWithoutMount) {
  const auto project = create("alpha", {{"no_mount", true}});
  EXPECT_EQ(project["state"], "stopped");
  EXPECT_TRUE(project["mountpoint"].is_null());
}

TEST_F(AdminServiceTest, AProjectThatCannotBeMountedIsNotMade) {
  std::filesystem::create_directories(root_ + "/alpha");
  std::ofstream(root_ + "/alpha/file") << "x";
  EXPECT_EQ(refusal({{"verb", "create"}, {"id", "alpha"}}).code, ENOTEMPTY);
  EXPECT_TRUE(store_.list()->empty());
}

TEST_F(AdminServiceTest, IdsThatAreMalformedTakenOrUnknown) {
  create("alpha");
  const auto malformed = refusal({{"verb", "create"}, {"id", "Al/pha"}});
  EXPECT_EQ(malformed.code, EINVAL);
  EXPECT_NE(malformed.message.find("'Al/pha' is not a project id"), std::string::npos);
  const auto taken = refusal({{"verb", "create"}, {"id", "alpha"}});
  EXPECT_EQ(taken.code, EEXIST);
  EXPECT_NE(taken.message.find("'alpha' is taken"), std::string::npos);
  for (const auto* verb : {"show", "destroy", "mount", "umount", "quota"}) {
    const auto unknown = refusal({{"verb", verb}, {"id", "nobody"}});
    EXPECT_EQ(unknown.code, ENOENT) << verb;
    EXPECT_NE(unknown.message.find("no project has the id 'nobody'"), std::string::npos) << verb;
  }
}

TEST_F(AdminServiceTest, RequestsThatAreWrong) {
  EXPECT_EQ(refusal(json::array()).code, EINVAL);
  EXPECT_EQ(refusal(json::object()).code, EINVAL);
  EXPECT_EQ(refusal({{"verb", 5}}).code, EINVAL);
  EXPECT_EQ(refusal({{"verb", "dance"}}).code, EOPNOTSUPP);
  EXPECT_NE(refusal({{"verb", "show"}}).message.find("'id' is missing"), std::string::npos);
  EXPECT_NE(refusal({{"verb", "show"}, {"id", 5}}).message.find("'id' must be a string"),
            std::string::npos);
  EXPECT_NE(refusal({{"verb", "show"}, {"id", "a"}, {"colour", 1}}).message.find("'colour'"),
            std::string::npos);
  EXPECT_NE(refusal({{"verb", "create"}, {"id", "a"}, {"bytes", -1}}).message.find("'bytes'"),
            std::string::npos);
  EXPECT_TRUE(store_.list()->empty());
}

TEST_F(AdminServiceTest, DestroyUnmountsAndRemovesTheMountPoint) {
  create("alpha");
  EXPECT_TRUE(ask({{"verb", "destroy"}, {"id", "alpha"}}));
  EXPECT_TRUE(store_.list()->empty());
  EXPECT_FALSE(std::filesystem::exists(root_ + "/alpha"));
}

TEST_F(AdminServiceTest, DestroyRefusesAProjectInUse) {
  create("alpha");
  mounter_.in_use.insert("alpha");
  const auto refused = refusal({{"verb", "destroy"}, {"id", "alpha"}});
  EXPECT_EQ(refused.code, EBUSY);
  EXPECT_NE(refused.message.find(root_ + "/alpha"), std::string::npos);
  EXPECT_TRUE(mounts_.mountpoint("alpha"));
}

TEST_F(AdminServiceTest, QuotaIsShownAndChanged) {
  create("alpha");
  const auto changed = ask({{"verb", "quota"}, {"id", "alpha"}, {"bytes", 10}, {"inodes", 5}});
  ASSERT_TRUE(changed);
  EXPECT_EQ((*changed)["quota"]["bytes"], 10);
  EXPECT_EQ(store_.show("alpha")->quota.inodes, 5u);
  const auto lifted = ask({{"verb", "quota"}, {"id", "alpha"}, {"bytes", nullptr}});
  ASSERT_TRUE(lifted);
  EXPECT_TRUE((*lifted)["quota"]["bytes"].is_null());
  EXPECT_EQ((*lifted)["quota"]["inodes"], 5);
}

TEST_F(AdminServiceTest, UmountSaysWhy) {
  create("alpha");
  mounter_.in_use.insert("alpha");
  EXPECT_NE(refusal({{"verb", "umount"}, {"id", "alpha"}}).message.find("--force"),
            std::string::npos);
  EXPECT_TRUE(ask({{"verb", "umount"}, {"id", "alpha"}, {"force", true}}));
  const auto again = refusal({{"verb", "umount"}, {"id", "alpha"}});
  EXPECT_EQ(again.code, ENOENT);
  EXPECT_EQ(again.message, "alpha: it is not mounted");
}

TEST_F(AdminServiceTest, OwnersMayAskAboutTheirProjectsOnly) {
  create("mine", {{"uid", 1000}});
  create("theirs", {{"uid", 1001}});
  const AdminPeer owner{.uid = 1000, .admin = false};
  EXPECT_TRUE(ask({{"verb", "show"}, {"id", "mine"}}, owner));
  EXPECT_TRUE(ask({{"verb", "quota"}, {"id", "mine"}}, owner));
  EXPECT_EQ(refusal({{"verb", "quota"}, {"id", "mine"}, {"bytes", 1}}, owner).code, EPERM);
  // Whether somebody else's project exists is not told.
  const auto theirs = refusal({{"verb", "show"}, {"id", "theirs"}}, owner);
  const auto nobodys = refusal({{"verb", "show"}, {"id", "nobody"}}, owner);
  EXPECT_EQ(theirs.code, EPERM);
  EXPECT_EQ(nobodys.code, EPERM);
  for (const auto* verb : {"create", "destroy", "mount", "umount", "list", "stats", "store.status",
                           "store.check", "store.gc", "import", "export"}) {
    EXPECT_EQ(refusal({{"verb", verb}, {"id", "mine"}}, owner).code, EPERM) << verb;
  }
}

TEST_F(AdminServiceTest, ListIsSortedAndComplete) {
  create("beta");
  create("alpha", {{"no_mount", true}});
  const auto projects = ask({{"verb", "list"}});
  ASSERT_TRUE(projects);
  ASSERT_EQ(projects->size(), 2u);
  EXPECT_EQ((*projects)[0]["id"], "alpha");
  EXPECT_EQ((*projects)[1]["state"], "running");
}

TEST_F(AdminServiceTest, StoreStatusHasTheFieldsOfTheContract) {
  create("alpha");
  const auto status = ask({{"verb", "store.status"}});
  ASSERT_TRUE(status);
  for (const auto* field : {"uuid", "path", "logical_bytes", "unique_bytes", "stored_bytes",
                            "chunks", "packs", "dedup_ratio", "compression_ratio", "free_bytes",
                            "reserve_bytes", "projects", "mounts", "staged_bytes"}) {
    EXPECT_TRUE(status->contains(field)) << field;
  }
  EXPECT_EQ((*status)["mounts"], 1);
}

TEST_F(AdminServiceTest, CheckTellsItsProblems) {
  EXPECT_EQ((*ask({{"verb", "store.check"}}))["clean"], true);
  store_.problems = {"a link count is wrong"};
  const auto report = ask({{"verb", "store.check"}, {"data", true}});
  ASSERT_TRUE(report);
  EXPECT_EQ((*report)["clean"], false);
  EXPECT_EQ((*report)["problems"], json::array({"a link count is wrong"}));
}

TEST_F(AdminServiceTest, StatsCountMemoryAndMounts) {
  create("alpha");
  const auto stats = ask({{"verb", "stats"}});
  ASSERT_TRUE(stats);
  EXPECT_GT((*stats)["memory"]["resident_bytes"].get<std::uint64_t>(), 0u);
  EXPECT_EQ((*stats)["mounts"][0]["id"], "alpha");
}

TEST_F(AdminServiceTest, CopiesWantAbsolutePathsOutsideTheProject) {
  create("alpha");
  for (const auto* verb : {"import", "export"}) {
    EXPECT_EQ(refusal({{"verb", verb}, {"id", "alpha"}, {"directory", "relative"}}).code, EINVAL);
    EXPECT_EQ(refusal({{"verb", verb}, {"id", "alpha"}, {"directory", root_ + "/alpha/sub"}}).code,
              EINVAL);
  }
}

}  // namespace
}  // namespace projfs
