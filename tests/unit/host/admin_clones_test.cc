// SPDX-License-Identifier: MIT
//
// Rollback and clone as verbs, on a real store and mounts in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "host/admin_service.h"
#include "support/fake_mounter.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr AdminPeer kAdmin{.uid = 0, .admin = true};
constexpr AdminPeer kOwner{.uid = 7, .admin = false};

class AdminClonesTest : public ::testing::Test {
 protected:
  AdminClonesTest() {
    Store::Options options;
    options.background = false;
    EXPECT_TRUE(Store::init(Env::posix(), dir_.path() + "/store"));
    auto opened = Store::open(dir_.path() + "/store", options);
    EXPECT_TRUE(opened) << opened.error().describe();
    store_ = *std::move(opened);
    mounts_.emplace(*store_, mounter_, dir_.path() + "/projects", dir_.path() + "/mounts.json");
    snapshots_.emplace(*store_, SnapshotPolicy());
    mounts_->compose_with([this](const std::string& id) { return snapshots_->tree(id); });
    lifecycle_.emplace(*store_, *mounts_, *snapshots_, dir_.path() + "/lifecycle");
    service_.emplace(AdminService::Parts{*store_, *mounts_, mounter_, *snapshots_, *lifecycle_});
    EXPECT_TRUE(ask({{"verb", "create"}, {"id", "p"}, {"uid", 7}}));
    EXPECT_TRUE(volume("p")->mknod(kRootIno, "then", S_IFREG | 0644, 0, {}));
    EXPECT_TRUE(ask({{"verb", "snapshot.create"}, {"id", "p"}, {"name", "one"}}));
    EXPECT_TRUE(volume("p")->mknod(kRootIno, "late", S_IFREG | 0644, 0, {}));
  }

  Result<json> ask(const json& request, const AdminPeer& peer = kAdmin) {
    return service_->handle(request, peer, [](double, const std::string&) { return true; });
  }
  Error refusal(const json& request, const AdminPeer& peer = kAdmin) {
    const auto answer = ask(request, peer);
    return answer ? Error{0, "no error: " + answer->dump()} : answer.error();
  }
  std::shared_ptr<Volume> volume(const std::string& id) { return mounter_.mounts.at(id).volume; }
  bool has(const std::string& id, const std::string& name) {
    return volume(id)->lookup(kRootIno, name).has_value();
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
  testing::FakeMounter mounter_;
  std::optional<Mounts> mounts_;
  std::optional<SnapshotService> snapshots_;
  std::optional<Lifecycle> lifecycle_;
  std::optional<AdminService> service_;
};

TEST_F(AdminClonesTest, RollbackSaysWhatItKept) {
  const auto done = ask({{"verb", "snapshot.rollback"}, {"id", "p"}, {"name", "one"}});
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_THAT((*done)["kept_as"].get<std::string>(), StartsWith("before-rollback-2"));
  EXPECT_EQ((*done)["snapshots"], 2);
  EXPECT_TRUE(has("p", "then"));
  EXPECT_FALSE(has("p", "late"));
}

TEST_F(AdminClonesTest, RollbackIsRefused) {
  const json request = {{"verb", "snapshot.rollback"}, {"id", "p"}, {"name", "one"}};
  json other = request;
  other["name"] = "two";
  EXPECT_EQ(refusal(other).code, ENOENT);
  EXPECT_EQ(refusal(request, kOwner).code, EPERM);
  ASSERT_TRUE(ask({{"verb", "umount"}, {"id", "p"}}));
  ASSERT_TRUE(ask({{"verb", "mount"}, {"id", "p"}, {"read_only", true}}));
  EXPECT_EQ(refusal(request).code, EROFS);
  EXPECT_TRUE(has("p", "late"));
  EXPECT_EQ((*ask({{"verb", "snapshot.list"}, {"id", "p"}})).size(), 1u);
}

TEST_F(AdminClonesTest, AClonedSnapshotIsMountedAndShowsItsBase) {
  const auto made = ask({{"verb", "clone"}, {"source", "p"}, {"snapshot", "one"}, {"id", "q"}});
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ((*made)["id"], "q");
  EXPECT_EQ((*made)["state"], "running");
  EXPECT_EQ((*made)["owner"]["uid"], 7);
  EXPECT_EQ((*made)["base"]["project"], "p");
  EXPECT_EQ((*made)["snapshots"], 0);
  EXPECT_TRUE(has("q", "then"));
  EXPECT_FALSE(has("q", "late"));
}

TEST_F(AdminClonesTest, TheHeadIsClonedWithoutMountingIt) {
  const auto made = ask({{"verb", "clone"}, {"source", "p"}, {"id", "q"}, {"no_mount", true}});
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_TRUE((*made)["mountpoint"].is_null());
  ASSERT_TRUE(ask({{"verb", "mount"}, {"id", "q"}}));
  EXPECT_TRUE(has("q", "late"));
}

TEST_F(AdminClonesTest, CloneIsRefused) {
  const auto error = refusal({{"verb", "clone"}, {"source", "nobody"}, {"id", "q"}});
  EXPECT_EQ(error.code, ENOENT);
  EXPECT_EQ(refusal({{"verb", "clone"}, {"source", "p"}, {"id", "p"}}).code, EEXIST);
  EXPECT_EQ(refusal({{"verb", "clone"}, {"source", "p"}, {"id", "a/b"}}).code, EINVAL);
  EXPECT_EQ(refusal({{"verb", "clone"}, {"source", "p"}, {"snapshot", ""}, {"id", "q"}}).code,
            EINVAL);
  EXPECT_EQ(refusal({{"verb", "clone"}, {"source", "p"}, {"id", "q"}}, kOwner).code, EPERM);
  const auto unknown =
      refusal({{"verb", "clone"}, {"source", "p"}, {"snapshot", "two"}, {"id", "q"}});
  EXPECT_EQ(unknown.code, ENOENT);
  EXPECT_THAT(unknown.message, HasSubstr("\"two\""));
  EXPECT_EQ((*ask({{"verb", "list"}})).size(), 1u);
}

}  // namespace
}  // namespace projfs
