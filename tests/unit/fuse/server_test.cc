// SPDX-License-Identifier: MIT
#include "fuse/server.h"

#include <condition_variable>
#include <ctime>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

// Holds back every operation of one name until opened.
class Gate {
 public:
  MemoryVolume::Hook hook(std::string_view operation) {
    return [this, wanted = std::string(operation)](std::string_view name, Ino) -> Status {
      if (name != wanted) return {};
      std::unique_lock lock(mutex_);
      ++waiting_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return open_; });
      --waiting_;
      return {};
    };
  }
  void wait_for(unsigned waiting) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= waiting; });
  }
  [[nodiscard]] unsigned waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned waiting_ = 0;
  bool open_ = false;
};

struct Client {
  std::shared_ptr<MemoryVolume> volume = std::make_shared<MemoryVolume>();
  FakeKernel kernel;

  void attach(ServerImpl& server, const std::string& id) {
    MountSpec spec;
    spec.id = id;
    spec.volume = volume;
    const auto unique = kernel.send(FUSE_INIT, 0, FakeKernel::init_of_linux_6_18());
    const auto attached = server.attach(spec, kernel.server_end());
    ASSERT_TRUE(attached) << attached.error().describe();
    ASSERT_EQ(kernel.answer_to(unique).error, 0);
  }
  FakeKernel::Answer ask() { return kernel.call(FUSE_GETATTR, 1, packed(fuse_getattr_in{})); }
};

class ServerTest : public ::testing::Test {
 protected:
  void start(const Server::Options& options) {
    server = std::make_unique<ServerImpl>(options);
    ASSERT_TRUE(server->start());
  }
  std::unique_ptr<ServerImpl> server;
};

TEST_F(ServerTest, NeedsAWorker) {
  ServerImpl none({.workers = 0});
  EXPECT_EQ(none.start().error().code, EINVAL);
}

TEST_F(ServerTest, StartsAndStopsWithNothingToServe) {
  for (const unsigned workers : {1u, 2u, 16u}) {
    start({.workers = workers});
    server.reset();
  }
}

// More than a process has thread-specific keys, of which each libfuse session takes one.
TEST_F(ServerTest, ServesManyMounts) {
  start({.workers = 4});
  constexpr unsigned kMounts = 1500;
  std::vector<std::unique_ptr<Client>> clients;
  for (unsigned i = 0; i < kMounts; ++i) {
    clients.push_back(std::make_unique<Client>());
    ASSERT_NO_FATAL_FAILURE(clients.back()->attach(*server, std::to_string(i)));
  }
  std::vector<std::uint64_t> asked;
  for (auto& client : clients)
    asked.push_back(client->kernel.send(FUSE_GETATTR, 1, packed(fuse_getattr_in{})));
  for (unsigned i = 0; i < kMounts; ++i) EXPECT_EQ(clients[i]->kernel.answer_to(asked[i]).error, 0);
  EXPECT_EQ(server->stats().size(), kMounts);
}

TEST_F(ServerTest, OneIdOneMount) {
  start({.workers = 2});
  Client a, b;
  a.attach(*server, "p");
  MountSpec spec;
  spec.id = "p";
  spec.volume = b.volume;
  EXPECT_EQ(server->attach(spec, b.kernel.server_end()).error().code, EBUSY);
  EXPECT_EQ(a.ask().error, 0);
}

TEST_F(ServerTest, AHangUpLetsTheVolumeGoAndSaysSo) {
  start({.workers = 2});
  std::promise<std::string> ended;
  std::weak_ptr<MemoryVolume> volume;
  server->on_unmounted([&](const std::string& id) {
    EXPECT_TRUE(volume.expired());
    ended.set_value(id);
  });
  {
    Client client;
    volume = client.volume;
    client.attach(*server, "p");
    EXPECT_TRUE(client.volume->has_kernel_view());
    EXPECT_EQ(client.ask().error, 0);
    client.volume.reset();
  }
  EXPECT_EQ(ended.get_future().get(), "p");
  EXPECT_TRUE(server->stats().empty());
  server->on_unmounted({});
  Client again;
  again.attach(*server, "p");
  EXPECT_EQ(again.ask().error, 0);
}

TEST_F(ServerTest, UnmountOfAnUnknownProject) {
  start({.workers = 2});
  EXPECT_EQ(server->unmount("nobody", false).error().code, ENOENT);
  EXPECT_EQ(server->mountpoint("nobody"), std::nullopt);
}

TEST_F(ServerTest, ARequestThatWaitsDoesNotStopOthers) {
  for (const char* const operation : {"fsync", "lookup"}) {  // announced and not
    SCOPED_TRACE(operation);
    start({.workers = 2});
    Gate gate;
    Client slow, quick;
    slow.volume->set_hook(gate.hook(operation));
    slow.attach(*server, "slow");
    quick.attach(*server, "quick");
    const auto waiting = operation == std::string_view("fsync")
                             ? slow.kernel.send(FUSE_FSYNC, 1, packed(fuse_fsync_in{}))
                             : slow.kernel.send(FUSE_LOOKUP, 1, zero_ended("x"));
    gate.wait_for(1);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(quick.ask().error, 0);
    EXPECT_FALSE(slow.kernel.has_answered(waiting));
    gate.open();
    EXPECT_EQ(slow.kernel.answer_to(waiting).error, 0);
    server.reset();
  }
}

// The role is given up while the other thread is still starting and can not be asked to take it.
TEST_F(ServerTest, AThreadThatBecomesIdleTakesARoleThatNobodyHas) {
  for (int i = 0; i < 300; ++i) {
    Gate gate;
    Client slow, quick;
    slow.volume->set_hook(gate.hook("fsync"));
    start({.workers = 2});
    slow.attach(*server, "slow");
    const auto waiting = slow.kernel.send(FUSE_FSYNC, 1, packed(fuse_fsync_in{}));
    quick.attach(*server, "quick");
    EXPECT_EQ(quick.ask().error, 0);
    gate.open();
    EXPECT_EQ(slow.kernel.answer_to(waiting).error, 0);
    server.reset();
  }
}

TEST_F(ServerTest, RequestsThatWaitAreServedByManyThreads) {
  start({.workers = 8});
  Gate gate;
  Client client;
  client.volume->set_hook(gate.hook("fsync"));
  client.attach(*server, "p");
  std::vector<std::uint64_t> waiting;
  for (int i = 0; i < 6; ++i)
    waiting.push_back(client.kernel.send(FUSE_FSYNC, 1, packed(fuse_fsync_in{})));
  gate.wait_for(6);
  gate.open();
  for (const auto unique : waiting) EXPECT_EQ(client.kernel.answer_to(unique).error, 0);
}

// However many of a mount's requests wait, a quarter of the threads is left to the others.
TEST_F(ServerTest, OneMountCannotTakeAllThreads) {
  start({.workers = 4});
  Gate gate;
  Client greedy, modest;
  greedy.volume->set_hook(gate.hook("fsync"));
  greedy.attach(*server, "greedy");
  modest.attach(*server, "modest");
  std::vector<std::uint64_t> waiting;
  for (int i = 0; i < 40; ++i)
    waiting.push_back(greedy.kernel.send(FUSE_FSYNC, 1, packed(fuse_fsync_in{})));
  gate.wait_for(3);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(modest.ask().error, 0);
  EXPECT_EQ(gate.waiting(), 3u);
  gate.open();
  for (const auto unique : waiting) EXPECT_EQ(greedy.kernel.answer_to(unique).error, 0);
}

// With one thread, a mount that always has requests waiting must leave turns to another.
TEST_F(ServerTest, ABusyMountLeavesTurnsToOthers) {
  start({.workers = 1});
  Client busy, modest;
  busy.attach(*server, "busy");
  modest.attach(*server, "modest");
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    std::vector<std::uint64_t> window;
    for (int i = 0; i < 64; ++i)
      window.push_back(busy.kernel.send(FUSE_GETATTR, 1, packed(fuse_getattr_in{})));
    for (std::size_t i = 0; !stop; i = (i + 1) % window.size()) {
      busy.kernel.answer_to(window[i]);
      window[i] = busy.kernel.send(FUSE_GETATTR, 1, packed(fuse_getattr_in{}));
    }
    for (const auto unique : window) busy.kernel.answer_to(unique);
  });
  for (int i = 0; i < 200; ++i) EXPECT_EQ(modest.ask().error, 0);
  stop = true;
  flood.join();
  // Among two that are both waiting, turns are at worst kBurst to one; the flood also goes on
  // between.
  const auto stats = server->stats();
  EXPECT_EQ(stats[1].requests, 200u);
}

TEST_F(ServerTest, ManyClientsAtOnceGetTheirOwnAnswers) {
  for (const unsigned spinners : {0u, 1u, 2u}) {
    start({.workers = 4, .spinners = spinners});
    constexpr unsigned kClients = 6;
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<Client>());
      clients.back()->attach(*server, std::to_string(i));
      ASSERT_TRUE(clients.back()->volume->mknod(1, "f", S_IFREG, 0, Caller{.uid = i}));
    }
    for (unsigned i = 0; i < kClients; ++i)
      threads.emplace_back([&client = *clients[i], i] {
        for (int n = 0; n < 1000; ++n) {
          const auto answer = client.kernel.call(FUSE_LOOKUP, 1, zero_ended("f"));
          ASSERT_EQ(answer.error, 0);
          ASSERT_EQ(answer.as<fuse_entry_out>().attr.uid, i);
          if (n % 100 == 0) {
            ASSERT_EQ(client.kernel.call(FUSE_FSYNC, 2, packed(fuse_fsync_in{})).error, 0);
          }
        }
      });
    for (auto& thread : threads) thread.join();
    server.reset();
  }
}

TEST_F(ServerTest, StoppingFinishesRequestsInFlight) {
  start({.workers = 4});
  Gate gate;
  auto client = std::make_unique<Client>();
  client->volume->set_hook(gate.hook("fsync"));
  client->attach(*server, "p");
  const auto waiting = client->kernel.send(FUSE_FSYNC, 1, packed(fuse_fsync_in{}));
  gate.wait_for(1);
  std::thread stopping([&] { server.reset(); });
  gate.open();
  EXPECT_EQ(client->kernel.answer_to(waiting).error, 0);
  stopping.join();
  EXPECT_FALSE(client->volume->has_kernel_view());
}

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Waits until all threads sleep for good, which a server that polls or ticks for ever never does.
TEST_F(ServerTest, AnIdleServerUsesNoCpu) {
  start({.workers = 4, .spinners = 2});
  Client client;
  client.attach(*server, "p");
  for (int i = 0; i < 100; ++i) client.ask();
  for (;;) {
    const double before = cpu_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const double used = cpu_seconds() - before;
    // This thread's own wake-up is in it; a tick each millisecond or a spinning thread is far
    // above.
    if (used < 0.0002) break;
  }
}

// The buffers belong to threads: an idle mount is a socket and some hundred bytes.
TEST_F(ServerTest, IdleMountsAreSmall) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is not a mount's";
#endif
  start({.workers = 4});
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t pages = 0, rss = 0;
    statm >> pages >> rss;
    return rss * 4096;
  };
  const auto volume = std::make_shared<MemoryVolume>();
  std::vector<std::unique_ptr<FakeKernel>> kernels;
  const auto before = resident();
  constexpr unsigned kMounts = 1000;
  for (unsigned i = 0; i < kMounts; ++i) {
    kernels.push_back(std::make_unique<FakeKernel>());
    MountSpec spec;
    spec.id = std::to_string(i);
    spec.volume = volume;
    kernels.back()->send(FUSE_INIT, 0, FakeKernel::init_of_linux_6_18());
    ASSERT_TRUE(server->attach(spec, kernels.back()->server_end()));
  }
  EXPECT_LT((resident() - before) / kMounts, 10u << 10);
}

}  // namespace
}  // namespace projfs::fuse
