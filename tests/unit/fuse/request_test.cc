// SPDX-License-Identifier: MIT
#include "fuse/request.h"

#include <gtest/gtest.h>
#include <cstring>
#include <string>

namespace projfs::fuse {
namespace {

std::string raw(std::uint32_t opcode, std::string_view body, int lie = 0) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size() + lie);
  header.opcode = opcode;
  std::string out(reinterpret_cast<const char*>(&header), sizeof header);
  return out.append(body);
}

template <class T>
std::string packed(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

bool well_formed(std::uint32_t opcode, std::string_view body) {
  const std::string bytes = raw(opcode, body);
  const Request request(as_bytes(bytes));
  return request.has_header() && request.well_formed();
}

using namespace std::string_literals;

TEST(RequestTest, AHeaderMustBeWholeAndTellTheLength) {
  const std::string good = raw(FUSE_STATFS, ""), lying = raw(FUSE_STATFS, "", 1);
  EXPECT_TRUE(Request(as_bytes(good)).has_header());
  EXPECT_FALSE(Request(as_bytes(lying)).has_header());
  EXPECT_FALSE(Request(as_bytes(good).first(39)).has_header());
  EXPECT_FALSE(Request().has_header());
}

TEST(RequestTest, NamesMustEndInTheBuffer) {
  EXPECT_TRUE(well_formed(FUSE_LOOKUP, "a\0"s));
  EXPECT_FALSE(well_formed(FUSE_LOOKUP, "a"));
  EXPECT_FALSE(well_formed(FUSE_LOOKUP, ""));
  EXPECT_TRUE(well_formed(FUSE_SYMLINK, "a\0b\0"s));
  EXPECT_FALSE(well_formed(FUSE_SYMLINK, "a\0b"s));
  EXPECT_TRUE(well_formed(FUSE_RENAME2, packed(fuse_rename2_in{}) + "a\0b\0"s));
  EXPECT_FALSE(well_formed(FUSE_RENAME2, packed(fuse_rename2_in{}) + "a\0"s));
  EXPECT_FALSE(well_formed(FUSE_RENAME2, "a\0b\0"s));
}

TEST(RequestTest, AWriteCarriesWhatItAnnounces) {
  fuse_write_in in{};
  in.size = 4;
  EXPECT_TRUE(well_formed(FUSE_WRITE, packed(in) + "1234"));
  EXPECT_FALSE(well_formed(FUSE_WRITE, packed(in) + "123"));
}

TEST(RequestTest, ABatchOfForgetsCarriesWhatItAnnounces) {
  fuse_batch_forget_in in{};
  in.count = 2;
  const std::string one = packed(fuse_forget_one{});
  EXPECT_TRUE(well_formed(FUSE_BATCH_FORGET, packed(in) + one + one));
  EXPECT_FALSE(well_formed(FUSE_BATCH_FORGET, packed(in) + one));
  in.count = 0xffffffff;
  EXPECT_FALSE(well_formed(FUSE_BATCH_FORGET, packed(in) + one));
}

TEST(RequestTest, NoKnownOperationIsWellFormedWhenCutShort) {
  for (const std::uint32_t opcode :
       {FUSE_FORGET,  FUSE_GETATTR,  FUSE_SETATTR,     FUSE_MKNOD,      FUSE_MKDIR,
        FUSE_LINK,    FUSE_RENAME,   FUSE_OPEN,        FUSE_READ,       FUSE_RELEASE,
        FUSE_FSYNC,   FUSE_SETXATTR, FUSE_GETXATTR,    FUSE_LISTXATTR,  FUSE_FLUSH,
        FUSE_OPENDIR, FUSE_READDIR,  FUSE_READDIRPLUS, FUSE_RELEASEDIR, FUSE_FSYNCDIR,
        FUSE_GETLK,   FUSE_ACCESS,   FUSE_CREATE,      FUSE_TMPFILE,    FUSE_BMAP,
        FUSE_IOCTL,   FUSE_POLL,     FUSE_FALLOCATE,   FUSE_LSEEK,      FUSE_COPY_FILE_RANGE})
    EXPECT_FALSE(well_formed(opcode, "\0\0\0\0"s)) << opcode;
  EXPECT_FALSE(well_formed(kOpStatx, "\0\0\0\0"s));
  EXPECT_FALSE(well_formed(kOpCopyFileRange64, "\0\0\0\0"s));
}

TEST(RequestTest, SyncsAndLongReadsMayWait) {
  const auto may_wait = [](std::uint32_t opcode, std::string_view body) {
    const std::string bytes = raw(opcode, body);
    return Request(as_bytes(bytes)).may_wait();
  };
  fuse_read_in in{};
  in.size = 4096;
  EXPECT_FALSE(may_wait(FUSE_READ, packed(in)));
  in.size = 128 << 10;
  EXPECT_TRUE(may_wait(FUSE_READ, packed(in)));
  EXPECT_FALSE(may_wait(FUSE_READ, "cut"));
  EXPECT_TRUE(may_wait(FUSE_FSYNC, ""));
  EXPECT_FALSE(may_wait(FUSE_WRITE, ""));
}

}  // namespace
}  // namespace projfs::fuse
