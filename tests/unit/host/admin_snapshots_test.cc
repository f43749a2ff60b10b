// SPDX-License-Identifier: MIT
//
// The verbs about snapshots, on a real store and mounts in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "host/admin_service.h"
#include "support/fake_mounter.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr AdminPeer kAdmin{.uid = 0, .admin = true};
constexpr AdminPeer kOwner{.uid = 7, .admin = false};
constexpr AdminPeer kStranger{.uid = 8, .admin = false};

class AdminSnapshotsTest : public ::testing::Test {
 protected:
  AdminSnapshotsTest() {
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
    snapshots_->describe_with([this](const std::string& id) { return service_->status_text(id); });
    EXPECT_TRUE(ask({{"verb", "create"}, {"id", "p"}, {"uid", 7}}));
  }

  Result<json> ask(const json& request, const AdminPeer& peer = kAdmin) {
    return service_->handle(request, peer, [](double, const std::string&) { return true; });
  }
  Result<json> about(const char* verb, json more = json::object(), const AdminPeer& peer = kAdmin) {
    more["verb"] = verb;
    more["id"] = "p";
    return ask(more, peer);
  }
  Error refusal(const char* verb, json more = json::object(), const AdminPeer& peer = kAdmin) {
    const auto answer = about(verb, std::move(more), peer);
    return answer ? Error{0, "no error: " + answer->dump()} : answer.error();
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& s : about("snapshot.list").value_or(json::array())) out.push_back(s["name"]);
    return out;
  }
  std::shared_ptr<Volume> mounted() { return mounter_.mounts.at("p").volume; }
  Ino put(const std::string& name, std::string_view content) {
    const auto volume = mounted();
    auto found = volume->lookup(kRootIno, name);
    if (!found) found = volume->mknod(kRootIno, name, S_IFREG | 0644, 0, Caller{});
    EXPECT_TRUE(found);
    AttrChange empty;
    empty.size = 0;
    EXPECT_TRUE(volume->setattr(found->ino, empty, Caller{}));
    EXPECT_TRUE(volume->write(found->ino, 0, as_bytes(content), false));
    return found->ino;
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
  testing::FakeMounter mounter_;
  std::optional<Mounts> mounts_;
  std::optional<SnapshotService> snapshots_;
  std::optional<Lifecycle> lifecycle_;
  std::optional<AdminService> service_;
};

TEST_F(AdminSnapshotsTest, CreateAndList) {
  put("f", "one");
  const auto made = about("snapshot.create", {{"name", "first"}});
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ((*made)["name"], "first");
  EXPECT_EQ((*made)["held"], false);
  EXPECT_EQ((*made)["automatic"], false);
  const auto unnamed = about("snapshot.create");
  ASSERT_TRUE(unnamed);
  EXPECT_EQ((*unnamed)["name"].get<std::string>().size(), 20u);
  EXPECT_THAT(names(), ElementsAre("first", (*unnamed)["name"]));
  EXPECT_EQ((*about("show"))["snapshots"], 2);
  EXPECT_EQ(refusal("snapshot.create", {{"name", "first"}}).code, EEXIST);
  EXPECT_EQ(refusal("snapshot.create", {{"name", ""}}).code, EINVAL);
  EXPECT_EQ(refusal("snapshot.create", {{"name", "a/b"}}).code, EINVAL);
  EXPECT_EQ(refusal("snapshot.create", {{"name", std::string(256, 'x')}}).code, ENAMETOOLONG);
}

TEST_F(AdminSnapshotsTest, WhatIsMountedShowsThemAtOnce) {
  const Ino f = put("f", "one");
  ASSERT_TRUE(about("snapshot.create", {{"name", "first"}}));
  put("f", "two");
  const auto volume = mounted();
  const auto all = volume->lookup(kRootIno, ".snapshots");
  ASSERT_TRUE(all);
  const auto before = volume->getattr(all->ino)->mtime;
  const auto first = volume->lookup(all->ino, "first");
  ASSERT_TRUE(first);
  std::string content(3, ' ');
  const auto old = volume->lookup(first->ino, "f");
  ASSERT_TRUE(old);
  ASSERT_TRUE(
      volume->read(old->ino, 0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()}));
  EXPECT_EQ(content, "one");
  EXPECT_EQ(NodeId::inode(old->ino), f);
  ASSERT_TRUE(about("snapshot.rename", {{"name", "first"}, {"new_name", "renamed"}}));
  EXPECT_EQ(volume->lookup(all->ino, "first").error().code, ENOENT);
  EXPECT_EQ(volume->lookup(all->ino, "renamed")->ino, first->ino);
  const auto after = volume->getattr(all->ino)->mtime;
  EXPECT_TRUE(after.tv_sec != before.tv_sec || after.tv_nsec != before.tv_nsec)
      << "a kernel that keeps the listing sees that it is old";
}

TEST_F(AdminSnapshotsTest, MkdirMakesOne) {
  const auto volume = mounted();
  const auto all = volume->lookup(kRootIno, ".snapshots");
  ASSERT_TRUE(volume->mkdir(all->ino, "mine", 0755, Caller{.uid = 7, .privileged = false}));
  EXPECT_THAT(names(), ElementsAre("mine"));
  EXPECT_EQ(
      volume->mkdir(all->ino, "other", 0755, Caller{.uid = 8, .privileged = false}).error().code,
      EPERM);
}

TEST_F(AdminSnapshotsTest, TheStatusIsWhatShowAnswers) {
  const auto text = mounted()->getxattr(kRootIno, "user.projfs.status");
  ASSERT_TRUE(text) << text.error().describe();
  EXPECT_EQ(json::parse(*text), *about("show"));
  ASSERT_TRUE(about("snapshot.create", {{"name", "a"}}));
  const auto all = mounted()->lookup(kRootIno, ".snapshots")->ino;
  const auto one = mounted()->getxattr(mounted()->lookup(all, "a")->ino, "user.projfs.snapshot");
  ASSERT_TRUE(one) << one.error().describe();
  EXPECT_EQ(json::parse(*one), (*about("snapshot.list"))[0]);
}

TEST_F(AdminSnapshotsTest, HoldAndRelease) {
  ASSERT_TRUE(about("snapshot.create", {{"name", "a"}}));
  EXPECT_EQ((*about("snapshot.hold", {{"name", "a"}}))["held"], true);
  EXPECT_EQ((*about("snapshot.list"))[0]["held"], true);
  EXPECT_EQ((*about("snapshot.release", {{"name", "a"}}))["held"], false);
  EXPECT_EQ(refusal("snapshot.hold", {{"name", "b"}}).code, ENOENT);
}

TEST_F(AdminSnapshotsTest, PolicyIsShownChangedAndKept) {
  const auto first = about("snapshot.policy");
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)["every_seconds"], 900);
  EXPECT_EQ((*first)["default"], true);
  EXPECT_EQ((*first)["keep"], "last=4,hourly=24,daily=7,weekly=8,monthly=6");
  const auto changed = about("snapshot.policy", {{"every", "1h"}, {"keep", "daily=3"}});
  ASSERT_TRUE(changed) << changed.error().describe();
  EXPECT_EQ((*changed)["every_seconds"], 3600);
  EXPECT_EQ((*changed)["keep"], "daily=3");
  EXPECT_EQ((*changed)["default"], false);
  EXPECT_EQ((*about("snapshot.policy", {{"off", true}}))["off"], true);
  const auto on = about("snapshot.policy", {{"every", "5m"}});
  EXPECT_EQ((*on)["off"], false) << "asking for a period turns it on";
  EXPECT_EQ((*on)["keep"], "daily=3");
  for (const json& wrong :
       {json{{"every", "often"}}, json{{"every", "0"}}, json{{"every", "250ms"}},
        json{{"keep", "yearly=1"}}, json{{"off", true}, {"every", "1h"}}})
    EXPECT_EQ(refusal("snapshot.policy", wrong).code, EINVAL) << wrong;
  EXPECT_EQ((*about("snapshot.policy"))["every_seconds"], 300);
}

TEST_F(AdminSnapshotsTest, PruneSaysWhatItWouldDelete) {
  const auto engine = *store_->snapshots("p");
  for (const auto* name : {"a", "b", "c"}) ASSERT_TRUE(engine->create(name, true));
  ASSERT_TRUE(engine->create("named", false));
  ASSERT_TRUE(about("snapshot.policy", {{"keep", "last=1"}}));
  const auto would = about("snapshot.prune", {{"dry_run", true}});
  ASSERT_TRUE(would);
  EXPECT_EQ((*would)["deleted"], (json{"a", "b"}));
  EXPECT_EQ(names().size(), 4u);
}

TEST_F(AdminSnapshotsTest, VersionsOfAFile) {
  put("f", "one");
  ASSERT_TRUE(about("snapshot.create", {{"name", "a"}}));
  ASSERT_TRUE(about("snapshot.create", {{"name", "b"}}));
  put("f", "longer");
  const auto versions = about("versions", {{"path", "f"}});
  ASSERT_TRUE(versions) << versions.error().describe();
  ASSERT_EQ(versions->size(), 2u);
  EXPECT_TRUE((*versions)[0]["snapshot"].is_null());
  EXPECT_EQ((*versions)[0]["size"], 6);
  EXPECT_EQ((*versions)[1]["snapshot"], "b") << "the newest that has it";
  ASSERT_TRUE(mounted()->unlink(kRootIno, "f"));
  EXPECT_EQ(about("versions", {{"path", "/f"}})->size(), 1u);
  EXPECT_EQ(refusal("versions", {{"path", "f/x"}}).code, ENOENT);
  EXPECT_EQ(refusal("versions", {{"path", "g"}}).code, ENOENT);
}

TEST_F(AdminSnapshotsTest, DiffAsAWholeAndItemByItem) {
  put("f", "one");
  put("g", "two");
  ASSERT_TRUE(about("snapshot.create", {{"name", "a"}}));
  put("f", "other");
  ASSERT_TRUE(mounted()->rename(kRootIno, "g", kRootIno, "h", 0));
  const auto all = about("snapshot.diff", {{"from", "a"}});
  ASSERT_TRUE(all) << all.error().describe();
  const json modified{{"change", "modified"}, {"path", "f"}, {"type", "file"}};
  const json renamed{{"change", "renamed"}, {"path", "h"}, {"old_path", "g"}, {"type", "file"}};
  EXPECT_THAT(*all, ::testing::UnorderedElementsAre(modified, renamed));
  ASSERT_TRUE(about("snapshot.create", {{"name", "b"}}));
  EXPECT_EQ(about("snapshot.diff", {{"from", "a"}, {"to", "b"}})->size(), 2u);
  EXPECT_EQ(about("snapshot.diff", {{"from", "b"}, {"to", "a"}})->size(), 2u);
  EXPECT_EQ(*about("snapshot.diff", {{"from", "b"}}), json::array());

  const json request{{"verb", "snapshot.diff"}, {"id", "p"}, {"from", "a"}, {"stream", true}};
  EXPECT_EQ(ask(request).error().code, EINVAL) << "to somebody who takes no items";
  std::vector<json> items;
  bool more = true;
  const AdminProgress streaming([](double, const std::string&) { return true; },
                                [&](const json& item) {
                                  items.push_back(item);
                                  return more;
                                });
  const auto streamed = service_->handle(request, kAdmin, streaming);
  ASSERT_TRUE(streamed) << streamed.error().describe();
  EXPECT_EQ((*streamed)["count"], 2);
  EXPECT_THAT(items, ::testing::UnorderedElementsAre(modified, renamed));
  items.clear();
  more = false;
  EXPECT_EQ(service_->handle(request, kAdmin, streaming).error().code, ECANCELED);
  EXPECT_EQ(items.size(), 1u);

  EXPECT_THAT(refusal("snapshot.diff", {{"from", "nobody"}}).message,
              ::testing::AllOf(HasSubstr("p: "), HasSubstr("\"nobody\"")));
  EXPECT_EQ(refusal("snapshot.diff", {{"from", "a"}, {"to", "nobody"}}).code, ENOENT);
  EXPECT_EQ(refusal("snapshot.diff", {}).code, EINVAL);
  EXPECT_TRUE(about("snapshot.diff", {{"from", "a"}}, kOwner));
  EXPECT_EQ(refusal("snapshot.diff", {{"from", "a"}}, kStranger).code, EPERM);
}

TEST_F(AdminSnapshotsTest, OwnersAskAndAdministratorsOrder) {
  ASSERT_TRUE(about("snapshot.create", {{"name", "a"}}));
  put("f", "one");
  EXPECT_TRUE(about("snapshot.list", {}, kOwner));
  EXPECT_TRUE(about("snapshot.policy", {}, kOwner));
  EXPECT_TRUE(about("versions", {{"path", "f"}}, kOwner));
  EXPECT_EQ(refusal("snapshot.policy", {{"off", true}}, kOwner).code, EPERM);
  for (const auto* verb : {"snapshot.create", "snapshot.delete", "snapshot.hold",
                           "snapshot.release", "snapshot.rename", "snapshot.prune"})
    EXPECT_EQ(refusal(verb, {{"name", "a"}}, kOwner).code, EPERM) << verb;
  for (const auto* verb : {"snapshot.list", "snapshot.policy", "versions"})
    EXPECT_NE(refusal(verb, {}, kStranger).code, 0) << verb;
}

}  // namespace
}  // namespace projfs
