// SPDX-License-Identifier: MIT
//
// A server, a volume in memory and a fake kernel that talk to each other.
#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "fuse/server_impl.h"
#include "support/fake_kernel.h"
#include "support/memory_volume.h"

namespace projfs::fuse {

using testing::FakeKernel;
using testing::MemoryVolume;
using testing::packed;
using testing::zero_ended;

class EdgeTest : public ::testing::Test {
 protected:
  explicit EdgeTest(std::string init = FakeKernel::init_of_linux_6_18()) {
    start({.workers = 4}, std::move(init));
  }

  void start(const Server::Options& options, std::string init) {
    server = std::make_unique<ServerImpl>(options);
    EXPECT_TRUE(server->start());
    const auto unique = kernel.send(FUSE_INIT, 0, init);
    const auto attached = server->attach(spec("p", volume), kernel.server_end());
    EXPECT_TRUE(attached) << attached.error().describe();
    greeting = kernel.answer_to(unique);
  }

  static MountSpec spec(std::string id, std::shared_ptr<Volume> volume) {
    MountSpec out;
    out.id = std::move(id);
    out.volume = std::move(volume);
    return out;
  }

  Ino make(std::string_view name, std::uint32_t mode = S_IFREG | 0644, Ino parent = kRootIno) {
    auto made = S_ISDIR(mode) ? volume->mkdir(parent, name, mode, Caller{})
                              : volume->mknod(parent, name, mode, 0, Caller{});
    EXPECT_TRUE(made);
    return made ? made->ino : 0;
  }

  std::shared_ptr<MemoryVolume> volume = std::make_shared<MemoryVolume>();
  FakeKernel kernel;
  FakeKernel::Answer greeting;
  std::unique_ptr<ServerImpl> server;
};

}  // namespace projfs::fuse
