// SPDX-License-Identifier: MIT
#include "fuse/channel.h"

#include <random>
#include <stdexcept>

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

class ChannelTest : public EdgeTest {
 protected:
  void expect_alive() {
    EXPECT_EQ(kernel.call(FUSE_GETATTR, 1, packed(fuse_getattr_in{})).error, 0);
  }
};

TEST_F(ChannelTest, KeepsTheInitRequestForASuccessor) {
  FakeKernel another;
  const auto body = FakeKernel::init_of_linux_6_18();
  Channel channel(another.server_end(), "q", volume, 1.0);
  Sessions sessions;
  another.send(FUSE_INIT, 0, body);
  ASSERT_TRUE(channel.greet(sessions));
  EXPECT_EQ(channel.init_request().substr(sizeof(fuse_in_header)), body);
}

TEST_F(ChannelTest, GreetingFailsWhenTheKernelHangsUpOrIsTooOld) {
  Sessions sessions;
  FakeKernel gone;
  Channel first(gone.server_end(), "q", volume, 1.0);
  gone.hang_up();
  EXPECT_EQ(first.greet(sessions).error().code, ENODEV);
  FakeKernel old;
  Channel second(old.server_end(), "q", volume, 1.0);
  fuse_init_in in{};
  in.major = 7;
  in.minor = 12;
  const auto unique = old.send(FUSE_INIT, 0, packed(in));
  EXPECT_EQ(second.greet(sessions).error().code, EPROTO);
  EXPECT_EQ(old.answer_to(unique).error, EPROTO);
}

TEST_F(ChannelTest, UnknownOperationsAreNotSupported) {
  for (const std::uint32_t opcode : {7u, 19u, 48u, 49u, 54u, 99u, 0xffffffffu})
    EXPECT_EQ(kernel.call(opcode, 1, std::string(64, '\0')).error, ENOSYS) << opcode;
  expect_alive();
}

TEST_F(ChannelTest, MalformedRequestsAreRefused) {
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, 1, "unending").error, EINVAL);
  EXPECT_EQ(kernel.call(FUSE_WRITE, 1, "short").error, EINVAL);
  fuse_write_in in{};
  in.size = 1 << 20;
  EXPECT_EQ(kernel.call(FUSE_WRITE, 1, packed(in) + "less").error, EINVAL);
  const auto forget = kernel.send(FUSE_FORGET, 1, "x");
  fuse_batch_forget_in many{};
  many.count = 1 << 30;
  const auto batch = kernel.send(FUSE_BATCH_FORGET, 1, packed(many));
  expect_alive();
  EXPECT_FALSE(kernel.has_answered(forget));
  EXPECT_FALSE(kernel.has_answered(batch));
}

TEST_F(ChannelTest, MessagesThatAreNoRequestsAreDropped) {
  kernel.send_bytes("x");
  fuse_in_header lying{};
  lying.len = 4000;
  lying.opcode = FUSE_GETATTR;
  kernel.send_bytes(packed(lying));
  expect_alive();
}

TEST_F(ChannelTest, ASecondInitChangesNothing) {
  EXPECT_EQ(kernel.call(FUSE_INIT, 0, FakeKernel::init_of_linux_6_1()).error, EIO);
  expect_alive();
}

TEST_F(ChannelTest, InterruptIsIgnoredAndDestroyAcknowledged) {
  const auto interrupt = kernel.send(FUSE_INTERRUPT, 0, packed(fuse_interrupt_in{1}));
  EXPECT_EQ(kernel.call(FUSE_DESTROY, 0).error, 0);
  expect_alive();
  EXPECT_FALSE(kernel.has_answered(interrupt));
}

TEST_F(ChannelTest, ExceptionsBecomeErrors) {
  volume->set_hook([](std::string_view operation, Ino ino) -> Status {
    if (operation == "mkdir") throw std::bad_alloc();
    if (operation == "readdir") throw 42;
    if (ino == kRootIno && operation != "getattr") throw std::runtime_error("boom");
    return {};
  });
  EXPECT_EQ(kernel.call(FUSE_LOOKUP, 1, zero_ended("a")).error, EIO);
  EXPECT_EQ(kernel.call(FUSE_UNLINK, 1, zero_ended("a")).error, EIO);
  EXPECT_EQ(kernel.call(FUSE_MKDIR, 1, packed(fuse_mkdir_in{}) + zero_ended("a")).error, ENOMEM);
  EXPECT_EQ(kernel.call(FUSE_READDIR, 1, packed(fuse_read_in{})).error, EIO);
  EXPECT_EQ(kernel.call(FUSE_TMPFILE, 1, packed(fuse_create_in{}) + zero_ended("/")).error, EIO);
  kernel.send(FUSE_FORGET, 1, packed(fuse_forget_in{1}));
  expect_alive();
}

TEST_F(ChannelTest, AnErrnoThatTheKernelWouldNotTakeBecomesEio) {
  int code = 0;
  volume->set_hook([&](std::string_view operation, Ino) -> Status {
    if (operation == "lookup") return fail(code);
    return {};
  });
  for (const int strange : {-1, 512, 1 << 20}) {
    code = strange;
    EXPECT_EQ(kernel.call(FUSE_LOOKUP, 1, zero_ended("a")).error, EIO);
  }
}

// Every operation with bodies of every length and content: nothing crashes, everything is answered.
TEST_F(ChannelTest, NoiseIsSurvived) {
  std::mt19937 random(20260101);
  for (int round = 0; round < 4000; ++round) {
    const std::uint32_t opcode = random() % 56;
    std::string body(random() % 160, '\0');
    for (char& c : body)
      if (random() % 3 == 0) c = static_cast<char>(random());
    const Ino node = random() % 4;
    const auto unique = kernel.send(opcode, node, body);
    if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT ||
        opcode == FUSE_NOTIFY_REPLY)
      continue;
    kernel.answer_to(unique);
  }
  expect_alive();
}

TEST_F(ChannelTest, CountsTraffic) {
  const Ino ino = make("a");
  fuse_write_in in{};
  in.size = 5;
  kernel.call(FUSE_WRITE, ino, packed(in) + "hello");
  fuse_read_in rd{};
  rd.size = 3;
  kernel.call(FUSE_READ, ino, packed(rd));
  kernel.call(FUSE_RMDIR, 1, zero_ended("a"));
  const auto stats = server->stats();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].id, "p");
  EXPECT_EQ(stats[0].requests, 3u);
  EXPECT_EQ(stats[0].bytes_written, 5u);
  EXPECT_EQ(stats[0].bytes_read, 3u);
  EXPECT_EQ(stats[0].errors, 1u);
}

}  // namespace
}  // namespace projfs::fuse
