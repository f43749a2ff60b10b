// SPDX-License-Identifier: MIT
#include "host/admin_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <array>
#include <fstream>

#include "host/admin_client.h"
#include "host/line_channel.h"
#include "support/fake_mounter.h"
#include "support/fake_store.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

using nlohmann::json;

class AdminSocketTest : public ::testing::Test {
 protected:
  void start() {
    auto socket = AdminSocket::listen(path_, "", service_);
    ASSERT_TRUE(socket) << socket.error().message;
    socket_ = *std::move(socket);
    socket_->serve();
  }
  [[nodiscard]] Descriptor connect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), std::begin(address.sun_path));
    Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  testing::TempDir dir_;
  std::string path_ = dir_.path() + "/run/admin.sock";
  testing::FakeStore store_;
  testing::FakeMounter mounter_;
  Mounts mounts_{store_, mounter_, dir_.path() + "/projects", dir_.path() + "/mounts.json"};
  SnapshotService snapshots_{store_, {}};
  Lifecycle lifecycle_{store_, mounts_, snapshots_, dir_.path() + "/lifecycle"};
  AdminService service_{{store_, mounts_, mounter_, snapshots_, lifecycle_}};
  std::unique_ptr<AdminSocket> socket_;
};

TEST_F(AdminSocketTest, AsksAndAnswers) {
  start();
  double seen = -1;
  const auto made = ask_daemon(path_, {{"verb", "create"}, {"id", "alpha"}},
                               [&](double share, const std::string&) { seen = share; });
  // Whoever runs this test may not be root; the socket then refuses, in words.
  if (::geteuid() != 0) {
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, EPERM);
    return;
  }
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ((*made)["id"], "alpha");
  EXPECT_GE(seen, 0);
  const auto again = ask_daemon(path_, {{"verb", "create"}, {"id", "alpha"}}, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, EEXIST);
}

TEST_F(AdminSocketTest, SeveralRequestsOnOneConnection) {
  start();
  const auto fd = connect();
  LineChannel channel(fd.get(), 1 << 20);
  ASSERT_TRUE(channel.write("{\"verb\":\"dance\"}\nnot json\n"));
  for (const int code : {EOPNOTSUPP, EINVAL}) {
    const auto line = channel.read_line();
    ASSERT_TRUE(line && *line);
    EXPECT_EQ(json::parse(**line)["error"]["errno"], code);
  }
}

TEST_F(AdminSocketTest, ARequestThatIsTooLongIsRefused) {
  start();
  const auto fd = connect();
  LineChannel channel(fd.get(), 1 << 20);
  (void)channel.write(std::string(AdminSocket::kMaxRequestBytes + 10000, 'x'));
  const auto line = channel.read_line();
  // The rest of what was sent may turn the end of the connection into a reset.
  if (line && *line) {
    EXPECT_EQ(json::parse(**line)["error"]["errno"], EMSGSIZE);
  }
  EXPECT_EQ(ask_daemon(path_, {{"verb", "dance"}}, {}).error().code, EOPNOTSUPP);
}

TEST_F(AdminSocketTest, NoDaemonIsSaidClearly) {
  const auto answer = ask_daemon(path_, {{"verb", "list"}}, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ECONNREFUSED);
  EXPECT_NE(answer.error().message.find(path_), std::string::npos);
}

TEST_F(AdminSocketTest, AnotherDaemonIsNotPushedAside) {
  start();
  const auto second = AdminSocket::listen(path_, "", service_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE);
  EXPECT_EQ(ask_daemon(path_, {{"verb", "dance"}}, {}).error().code, EOPNOTSUPP);
}

TEST_F(AdminSocketTest, AStaleSocketIsReplacedAndAnythingElseKept) {
  start();
  // A daemon that was killed leaves its socket file.
  std::filesystem::path stale = dir_.path() + "/stale.sock";
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(stale.native().begin(), stale.native().end(), std::begin(address.sun_path));
    const Descriptor left(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_TRUE(AdminSocket::listen(stale, "", service_));

  const auto file = dir_.path() + "/file";
  std::ofstream(file) << "precious";
  EXPECT_EQ(AdminSocket::listen(file, "", service_).error().code, EEXIST);
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(AdminSocketTest, RefusesAGroupThatIsNotThere) {
  const auto socket = AdminSocket::listen(path_, "no-such-group-here", service_);
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().code, ENOENT);
}

TEST_F(AdminSocketTest, WhoConnectsEarlyWaits) {
  auto socket = AdminSocket::listen(path_, "", service_);
  ASSERT_TRUE(socket);
  const auto early = connect();
  LineChannel channel(early.get(), 1 << 20);
  ASSERT_TRUE(channel.write("{\"verb\":\"dance\"}\n"));
  std::array<char, 1> byte;
  EXPECT_EQ(::recv(early.get(), byte.data(), byte.size(), MSG_DONTWAIT), -1);
  (*socket)->serve();
  const auto line = channel.read_line();
  ASSERT_TRUE(line && *line);
  EXPECT_EQ(json::parse(**line)["error"]["errno"], EOPNOTSUPP);
}

TEST_F(AdminSocketTest, ItEndsWithClientsConnected) {
  start();
  const auto idle = connect();
  LineChannel channel(idle.get(), 1 << 20);
  ASSERT_TRUE(channel.write("{\"verb\":\"dance\"}\n"));
  ASSERT_TRUE(channel.read_line());
  socket_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  std::array<char, 1> byte;
  EXPECT_EQ(::recv(idle.get(), byte.data(), byte.size(), 0), 0);
}

TEST_F(AdminSocketTest, ConnectionsAreBounded) {
  start();
  std::vector<Descriptor> many;
  for (unsigned i = 0; i < AdminSocket::kMaxConnections; ++i) many.push_back(connect());
  // Each has been accepted once it answers (or, for unprivileged users, been refused).
  for (auto& fd : many) {
    LineChannel channel(fd.get(), 1 << 20);
    (void)channel.write("{\"verb\":\"dance\"}\n");
    ASSERT_TRUE(channel.read_line());
  }
  const auto refused = ask_daemon(path_, {{"verb", "dance"}}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EAGAIN);
  many.clear();
}

}  // namespace
}  // namespace projfs
