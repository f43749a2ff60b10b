// SPDX-License-Identifier: MIT
#include "fuse/session.h"

#include "unit/fuse/fixture.h"

namespace projfs::fuse {
namespace {

std::string init_request(const std::string& body) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = FUSE_INIT;
  header.unique = 2;
  return packed(header) + body;
}

Result<std::shared_ptr<Session>> negotiate(const std::string& body) {
  const std::string raw = init_request(body);
  return Session::negotiate(Request(as_bytes(raw)));
}

fuse_init_out reply_of(const Session& session) {
  fuse_init_out out{};
  session.init_reply().copy(reinterpret_cast<char*>(&out), sizeof out);
  return out;
}

std::string init_with(std::uint32_t minor, std::uint32_t flags) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = minor;
  in.flags = flags;
  return packed(in);
}

TEST(SessionTest, TakesWhatItWantsOfANewKernel) {
  const auto session = negotiate(FakeKernel::init_of_linux_6_18());
  ASSERT_TRUE(session);
  const auto out = reply_of(**session);
  EXPECT_EQ(out.major, 7u);
  EXPECT_EQ(out.max_write, 1u << 20);
  EXPECT_EQ(out.max_pages, 256u);
  for (const std::uint32_t wanted :
       {FUSE_ASYNC_READ, FUSE_BIG_WRITES, FUSE_DONT_MASK, FUSE_DO_READDIRPLUS, FUSE_PARALLEL_DIROPS,
        FUSE_POSIX_ACL, FUSE_CACHE_SYMLINKS, FUSE_EXPLICIT_INVAL_DATA, FUSE_MAX_PAGES,
        FUSE_HANDLE_KILLPRIV_V2, FUSE_SETXATTR_EXT})
    EXPECT_TRUE(out.flags & wanted) << std::hex << wanted;
  for (const std::uint32_t unwanted :
       {FUSE_ATOMIC_O_TRUNC, FUSE_ASYNC_DIO, FUSE_WRITEBACK_CACHE, FUSE_AUTO_INVAL_DATA,
        FUSE_HANDLE_KILLPRIV, FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS})
    EXPECT_FALSE(out.flags & unwanted) << std::hex << unwanted;
}

TEST(SessionTest, TakesNothingThatWasNotOffered) {
  for (const std::string& body : {FakeKernel::init_of_linux_6_1(), init_with(37, 0),
                                  init_with(37, FUSE_DONT_MASK | FUSE_POSIX_ACL)}) {
    fuse_init_in in{};
    body.copy(reinterpret_cast<char*>(&in), sizeof in);
    const auto session = negotiate(body);
    ASSERT_TRUE(session);
    const auto out = reply_of(**session);
    // libfuse always says BIG_WRITES, which kernels have had since 2008 and take for granted.
    EXPECT_EQ(out.flags & ~in.flags & ~static_cast<std::uint32_t>(FUSE_BIG_WRITES), 0u);
    EXPECT_EQ(out.flags2 & ~in.flags2, 0u);
  }
}

TEST(SessionTest, TheKillprivFlagFollowsTheOffer) {
  const auto with = negotiate(init_with(37, FUSE_HANDLE_KILLPRIV_V2));
  const auto without = negotiate(init_with(37, FUSE_HANDLE_KILLPRIV));
  ASSERT_TRUE(with && without);
  EXPECT_TRUE(reply_of(**with).flags & FUSE_HANDLE_KILLPRIV_V2);
  EXPECT_FALSE(reply_of(**without).flags & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_HANDLE_KILLPRIV));
  EXPECT_FALSE((*without)->negotiated().long_setxattr());
}

TEST(SessionTest, AnInitOfTheOldLengthIsEnough) {
  const auto session = negotiate(init_with(35, FUSE_ASYNC_READ).substr(0, 16));
  ASSERT_TRUE(session);
  EXPECT_EQ((*session)->negotiated().kernel_minor, 35u);
}

TEST(SessionTest, RefusesKernelsThatAreTooOldOrStrange) {
  EXPECT_EQ(negotiate(init_with(30, 0)).error().code, EPROTO);
  fuse_init_in in{};
  in.major = 8;
  in.minor = 40;
  EXPECT_EQ(negotiate(packed(in)).error().code, EPROTO);
  EXPECT_EQ(negotiate("short").error().code, EPROTO);
}

TEST(SessionTest, MountsOfOneKernelShareASession) {
  Sessions sessions;
  const std::string one = init_request(FakeKernel::init_of_linux_6_18());
  const std::string other = init_request(FakeKernel::init_of_linux_6_1());
  const auto a = sessions.for_init(Request(as_bytes(one)));
  const auto b = sessions.for_init(Request(as_bytes(one)));
  const auto c = sessions.for_init(Request(as_bytes(other)));
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(*a, *b);
  EXPECT_NE(*a, *c);
}

}  // namespace
}  // namespace projfs::fuse
