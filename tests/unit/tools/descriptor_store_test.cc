// SPDX-License-Identifier: MIT
//
// The daemon's side and the supervisor's side of sd_notify(3) and sd_listen_fds(3).
#include "descriptor_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "notify_socket.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

class DescriptorStoreTest : public ::testing::Test {
 protected:
  DescriptorStoreTest() {
    auto made = NotifySocket::open();
    EXPECT_TRUE(made) << made.error().describe();
    socket_ = std::move(*made);
    ::setenv("NOTIFY_SOCKET", socket_.address().c_str(), 1);
  }
  ~DescriptorStoreTest() override { ::unsetenv("NOTIFY_SOCKET"); }

  static fuse::KeptMount mount(std::uint64_t connection, std::string id) {
    fuse::KeptMount out;
    out.connection = connection;
    out.id = std::move(id);
    out.mountpoint = "/somewhere";
    return out;
  }
  void take_messages() {
    while (socket_.receive(::getpid())) {
    }
  }
  // Runs `body` in a process that is started with what is kept; its exit status.
  template <class Body>
  int in_next_daemon(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (hand_descriptors_on(socket_.kept()) != 0) ::_exit(100);
      ::_exit(body());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
  }

  testing::TempDir dir_;
  const std::string files_ = dir_.path() + "/connections";
  NotifySocket socket_;
};

TEST_F(DescriptorStoreTest, NobodyKeepsAnythingWithoutBeingTold) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(DescriptorStore::open(files_), nullptr);
}

TEST_F(DescriptorStoreTest, DescriptorsReachTheNextDaemon) {
  int first[2], second[2];
  ASSERT_EQ(::pipe(first), 0);
  ASSERT_EQ(::pipe(second), 0);
  const auto store = DescriptorStore::open(files_);
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->keep(mount(5, "a"), first[0]));
  ASSERT_TRUE(store->keep(mount(6, "b"), second[0]));
  ASSERT_TRUE(store->mark_drained());
  take_messages();
  ASSERT_EQ(socket_.kept().size(), 2u);
  ASSERT_EQ(::write(second[1], "x", 1), 1);

  EXPECT_EQ(in_next_daemon([&] {
              const auto next = DescriptorStore::open(files_);
              if (!next || next->kept().size() != 2 || !next->drained()) return 1;
              if (next->kept()[0].mount.id != "a" || next->kept()[1].mount.id != "b") return 2;
              char read = 0;
              if (::read(next->kept()[1].fd.get(), &read, 1) != 1 || read != 'x') return 3;
              if (!next->begin() || std::filesystem::exists(files_ + "/drained")) return 4;
              return std::getenv("LISTEN_FDS") == nullptr ? 0 : 5;
            }),
            0);
  // A daemon that is killed before it has answered everything leaves no mark.
  EXPECT_EQ(in_next_daemon([&] {
              const auto next = DescriptorStore::open(files_);
              return next && next->kept().size() == 2 && !next->drained() ? 0 : 1;
            }),
            0);
  for (const int fd : {first[0], first[1], second[0], second[1]}) ::close(fd);
}

TEST_F(DescriptorStoreTest, WhatIsLetGoIsGone) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto store = DescriptorStore::open(files_);
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->keep(mount(5, "a"), ends[0]));
  ASSERT_TRUE(store->keep(mount(6, "b"), ends[0]));
  store->let_go(5);
  take_messages();
  ASSERT_EQ(socket_.kept().size(), 1u);
  EXPECT_EQ(socket_.kept()[0].name, fuse::connection_name(6));
  EXPECT_FALSE(std::filesystem::exists(files_ + "/" + fuse::connection_name(5)));
  EXPECT_TRUE(std::filesystem::exists(files_ + "/" + fuse::connection_name(6)));
  for (const int fd : ends) ::close(fd);
}

TEST_F(DescriptorStoreTest, WhatBelongsToNoMountIsPassedOver) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto store = DescriptorStore::open(files_);
  ASSERT_TRUE(store->begin());
  ASSERT_TRUE(store->keep(mount(5, "a"), ends[0]));
  std::ofstream(files_ + "/" + fuse::connection_name(5)) << "damaged";
  std::ofstream(files_ + "/" + fuse::connection_name(9)) << "left over";
  take_messages();
  EXPECT_EQ(in_next_daemon([&] {
              const auto next = DescriptorStore::open(files_);
              if (!next || !next->kept().empty()) return 1;
              return next->begin() && std::filesystem::is_empty(files_) ? 0 : 2;
            }),
            0);
  const auto message = socket_.receive(::getpid());
  EXPECT_TRUE(message);  // of another process: not obeyed
  EXPECT_EQ(socket_.kept().size(), 1u);
  for (const int fd : ends) ::close(fd);
}

}  // namespace
}  // namespace projfs
