// SPDX-License-Identifier: MIT
//
// Requests that outlive the daemon: a real store, and a kernel that sends them again to the next
// daemon, whether they had been carried out or not.
#include "fuse/resent.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <optional>
#include <string>
#include <vector>

#include "fuse/server_impl.h"
#include "host/snapshot_service.h"
#include "projfs/store.h"
#include "support/fake_kernel.h"
#include "support/temp_dir.h"

namespace projfs::fuse {
namespace {

using testing::FakeKernel;
using testing::packed;
using testing::zero_ended;

constexpr std::uint64_t kConnection = 77;

struct Ask {
  std::uint32_t opcode = 0;
  std::uint64_t node = kRootIno;
  std::string body;
};

// A daemon: its store, and a server that serves one mount of it.
class Daemon {
 public:
  explicit Daemon(const std::string& store, bool again = false) {
    Store::Options options;
    options.background = false;
    options.reserve_bytes = 1;
    if (again) options.still_mounted.insert("p");
    auto opened = Store::open(store, options);
    EXPECT_TRUE(opened) << opened.error().describe();
    store_ = std::move(*opened);
    snapshots_ = std::make_unique<SnapshotService>(*store_, SnapshotPolicy{});
    Server::Options serving{.workers = 4};
    serving.answered = [this](const RequestId& id) { return store_->answered(id); };
    server_ = std::make_unique<ServerImpl>(serving);
    EXPECT_TRUE(server_->start());
  }
  ~Daemon() {
    server_.reset();
    snapshots_.reset();
    store_.reset();
  }

  [[nodiscard]] MountSpec spec() {
    auto volume = snapshots_->tree("p");
    EXPECT_TRUE(volume) << volume.error().describe();
    MountSpec out;
    out.id = "p";
    out.volume = *volume;
    return out;
  }
  [[nodiscard]] std::shared_ptr<Volume> volume() { return spec().volume; }
  Store& store() { return *store_; }
  ServerImpl& server() { return *server_; }

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<SnapshotService> snapshots_;
  std::unique_ptr<ServerImpl> server_;
};

class ResentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Store::init(Env::posix(), store_));
    daemon_ = std::make_unique<Daemon>(store_);
    ProjectSpec project;
    project.id = "p";
    ASSERT_TRUE(daemon_->store().create(project));
    kernel_ = std::make_unique<FakeKernel>();
    const auto init = FakeKernel::init_of_linux_6_18();
    const auto unique = kernel_->send(FUSE_INIT, 0, init);
    const auto attached =
        daemon_->server().attach(daemon_->spec(), kernel_->server_end(), kConnection);
    ASSERT_TRUE(attached) << attached.error().describe();
    const auto answer = kernel_->answer_to(unique).as<fuse_init_out>();
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + init.size());
    header.opcode = FUSE_INIT;
    header.unique = unique;
    kept_.connection = kConnection;
    kept_.id = "p";
    kept_.init = packed(header) + init;
    kept_.granted = answer.flags |
                    ((answer.flags & FUSE_INIT_EXT) != 0 ? std::uint64_t{answer.flags2} << 32 : 0);
  }

  // The daemon is gone, and another one comes; the kernel stays as it is.
  void next_daemon() {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(store_, true);
    kernel_ = std::make_unique<FakeKernel>();
  }
  // What the kernel sends when it is asked to send again lies ready before.
  void send_again(const Ask& ask, std::uint64_t unique) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + ask.body.size());
    header.opcode = ask.opcode;
    header.unique = unique | kResent;
    header.nodeid = ask.node;
    kernel_->send_bytes(packed(header) + ask.body);
  }
  Status adopt(bool answered = false) {
    auto done = daemon_->server().adopt(daemon_->spec(), kept_, kernel_->server_end(), answered);
    if (!done) return tl::unexpected(done.error());
    return {};
  }
  // The answer to `ask` when it is sent again, and had been carried out or not.
  FakeKernel::Answer again(const Ask& ask, bool carried_out) {
    std::uint64_t unique = 1000;
    if (carried_out) {
      unique = kernel_->send(ask.opcode, ask.node, ask.body);
      first_ = kernel_->answer_to(unique);
      EXPECT_EQ(first_.error, 0);
    }
    next_daemon();
    send_again(ask, unique);
    const auto done = adopt();
    EXPECT_TRUE(done) << done.error().describe();
    return kernel_->answer_to(unique | kResent);
  }
  Ino make(const char* name, std::uint32_t mode = S_IFREG | 0644, Ino parent = kRootIno) {
    const auto volume = daemon_->volume();
    auto made = S_ISDIR(mode) ? volume->mkdir(parent, name, mode, Caller{})
                              : volume->mknod(parent, name, mode, 0, Caller{});
    EXPECT_TRUE(made);
    return made ? made->ino : 0;
  }
  Result<Attr> found(const char* name, Ino parent = kRootIno) {
    return daemon_->volume()->lookup(parent, name);
  }
  void expect_sound() {
    daemon_->server().hand_over();
    const auto report = daemon_->store().check(false, {});
    ASSERT_TRUE(report);
    for (const auto& problem : report->problems) ADD_FAILURE() << problem;
  }

  testing::TempDir dir_;
  const std::string store_ = dir_.path() + "/store";
  std::unique_ptr<FakeKernel> kernel_;
  std::unique_ptr<Daemon> daemon_;
  KeptMount kept_;
  FakeKernel::Answer first_;
};

class Twice : public ResentTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Carried, Twice, ::testing::Bool(), [](const auto& carried_out) {
  return carried_out.param ? "OutBefore" : "OutNotYet";
});

TEST_P(Twice, Mknod) {
  fuse_mknod_in in{};
  in.mode = S_IFREG | 0640;
  const auto answer = again({FUSE_MKNOD, kRootIno, packed(in) + zero_ended("file")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  const auto entry = answer.as<fuse_entry_out>();
  const auto there = found("file");
  ASSERT_TRUE(there);
  EXPECT_EQ(entry.nodeid, there->ino);
  EXPECT_EQ(entry.attr.mode, S_IFREG | 0640u);
  if (GetParam()) {
    const auto first = first_.as<fuse_entry_out>();
    EXPECT_EQ(entry.nodeid, first.nodeid);
    EXPECT_EQ(entry.entry_valid, first.entry_valid);
    EXPECT_EQ(entry.attr_valid, first.attr_valid);
    EXPECT_EQ(entry.attr.ctimensec, first.attr.ctimensec);
  }
  EXPECT_EQ(daemon_->store().show("p")->usage.inodes, 2u);
  expect_sound();
}

TEST_P(Twice, Mkdir) {
  fuse_mkdir_in in{};
  in.mode = 0750;
  const auto answer = again({FUSE_MKDIR, kRootIno, packed(in) + zero_ended("dir")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, found("dir")->ino);
  EXPECT_EQ(daemon_->volume()->getattr(kRootIno)->nlink, 3u);
  expect_sound();
}

TEST_P(Twice, Symlink) {
  const auto answer =
      again({FUSE_SYMLINK, kRootIno, zero_ended("link") + zero_ended("target")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(*daemon_->volume()->readlink(answer.as<fuse_entry_out>().nodeid), "target");
  expect_sound();
}

TEST_P(Twice, Link) {
  const Ino file = make("file");
  fuse_link_in in{};
  in.oldnodeid = file;
  const auto answer = again({FUSE_LINK, kRootIno, packed(in) + zero_ended("other")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, file);
  EXPECT_EQ(answer.as<fuse_entry_out>().attr.nlink, 2u);
  EXPECT_EQ(found("other")->nlink, 2u);
  expect_sound();
}

TEST_P(Twice, Unlink) {
  make("file");
  ASSERT_EQ(again({FUSE_UNLINK, kRootIno, zero_ended("file")}, GetParam()).error, 0);
  EXPECT_EQ(found("file").error().code, ENOENT);
  expect_sound();
}

TEST_P(Twice, Rmdir) {
  make("dir", S_IFDIR | 0755);
  ASSERT_EQ(again({FUSE_RMDIR, kRootIno, zero_ended("dir")}, GetParam()).error, 0);
  EXPECT_EQ(found("dir").error().code, ENOENT);
  EXPECT_EQ(daemon_->volume()->getattr(kRootIno)->nlink, 2u);
  expect_sound();
}

TEST_P(Twice, RenameOverAFile) {
  const Ino file = make("old");
  make("new");
  fuse_rename_in in{};
  in.newdir = kRootIno;
  ASSERT_EQ(
      again({FUSE_RENAME, kRootIno, packed(in) + zero_ended("old") + zero_ended("new")}, GetParam())
          .error,
      0);
  EXPECT_EQ(found("old").error().code, ENOENT);
  EXPECT_EQ(found("new")->ino, file);
  expect_sound();
}

TEST_P(Twice, Exchange) {
  const Ino one = make("one"), two = make("two");
  fuse_rename2_in in{};
  in.newdir = kRootIno;
  in.flags = RENAME_EXCHANGE;
  ASSERT_EQ(again({FUSE_RENAME2, kRootIno, packed(in) + zero_ended("one") + zero_ended("two")},
                  GetParam())
                .error,
            0);
  EXPECT_EQ(found("one")->ino, two);
  EXPECT_EQ(found("two")->ino, one);
  expect_sound();
}

TEST_P(Twice, RenameWithoutReplacing) {
  const Ino file = make("old");
  fuse_rename2_in in{};
  in.newdir = kRootIno;
  in.flags = RENAME_NOREPLACE;
  ASSERT_EQ(again({FUSE_RENAME2, kRootIno, packed(in) + zero_ended("old") + zero_ended("new")},
                  GetParam())
                .error,
            0);
  EXPECT_EQ(found("new")->ino, file);
  expect_sound();
}

TEST_P(Twice, Tmpfile) {
  fuse_create_in in{};
  in.mode = 0600;
  const auto answer = again({FUSE_TMPFILE, kRootIno, packed(in) + zero_ended("")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  const auto node = answer.as<fuse_entry_out>().nodeid;
  EXPECT_EQ(daemon_->volume()->getattr(node)->nlink, 0u);
  if (GetParam()) {
    EXPECT_EQ(node, first_.as<fuse_entry_out>().nodeid);
  }
  EXPECT_EQ(daemon_->store().show("p")->usage.inodes, 2u);
  expect_sound();
}

std::string setxattr_body(std::string_view name, std::string_view value, std::uint32_t flags) {
  fuse_setxattr_in in{};
  in.size = static_cast<std::uint32_t>(value.size());
  in.flags = flags;
  return packed(in) + zero_ended(name) + std::string(value);
}

TEST_P(Twice, CreateXattr) {
  const Ino file = make("file");
  ASSERT_EQ(again({FUSE_SETXATTR, file, setxattr_body("user.a", "value", XATTR_CREATE)}, GetParam())
                .error,
            0);
  EXPECT_EQ(*daemon_->volume()->getxattr(file, "user.a"), "value");
  expect_sound();
}

TEST_P(Twice, ReplaceXattr) {
  const Ino file = make("file");
  ASSERT_TRUE(daemon_->volume()->setxattr(file, "user.a", "old", 0, false));
  ASSERT_EQ(
      again({FUSE_SETXATTR, file, setxattr_body("user.a", "value", XATTR_REPLACE)}, GetParam())
          .error,
      0);
  EXPECT_EQ(*daemon_->volume()->getxattr(file, "user.a"), "value");
  expect_sound();
}

TEST_P(Twice, RemoveXattr) {
  const Ino file = make("file");
  ASSERT_TRUE(daemon_->volume()->setxattr(file, "user.a", "old", 0, false));
  ASSERT_EQ(again({FUSE_REMOVEXATTR, file, zero_ended("user.a")}, GetParam()).error, 0);
  EXPECT_EQ(daemon_->volume()->getxattr(file, "user.a").error().code, ENODATA);
  expect_sound();
}

TEST_P(Twice, CopyByReferenceWithItsCount) {
  const Ino from = make("from"), to = make("to");
  const std::string data(100'000, 'x');
  ASSERT_TRUE(daemon_->volume()->write(from, 0, as_bytes(data), false));
  ASSERT_TRUE(daemon_->store().ingest_all());
  fuse_copy_file_range_in in{};
  in.nodeid_out = to;
  in.off_in = 50'000;
  in.len = 1 << 20;
  const auto answer = again({kOpCopyFileRange64, from, packed(in)}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<CopyFileRangeOut64>().bytes_copied, 50'000u);
  EXPECT_EQ(daemon_->volume()->getattr(to)->size, 50'000u);
  expect_sound();
}

TEST_P(Twice, CopyWithTheOldAnswer) {
  const Ino from = make("from"), to = make("to");
  const std::string data(100'000, 'x');
  ASSERT_TRUE(daemon_->volume()->write(from, 0, as_bytes(data), false));
  ASSERT_TRUE(daemon_->store().ingest_all());
  fuse_copy_file_range_in in{};
  in.nodeid_out = to;
  in.len = 70'000;
  const auto answer = again({FUSE_COPY_FILE_RANGE, from, packed(in)}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_write_out>().size, 70'000u);
  expect_sound();
}

TEST_P(Twice, MakeASnapshot) {
  make("file");
  const Ino shown = NodeId::snapshots_directory_of(kRootIno);
  const auto answer =
      again({FUSE_MKDIR, shown, packed(fuse_mkdir_in{}) + zero_ended("one")}, GetParam());
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, found("one", shown)->ino);
  EXPECT_EQ((*daemon_->store().snapshots("p"))->list()->size(), 1u);
  expect_sound();
}

TEST_P(Twice, DeleteASnapshot) {
  ASSERT_TRUE((*daemon_->store().snapshots("p"))->create("one", false));
  const Ino shown = NodeId::snapshots_directory_of(kRootIno);
  ASSERT_EQ(again({FUSE_RMDIR, shown, zero_ended("one")}, GetParam()).error, 0);
  EXPECT_EQ((*daemon_->store().snapshots("p"))->list()->size(), 0u);
  expect_sound();
}

TEST_P(Twice, RenameASnapshot) {
  ASSERT_TRUE((*daemon_->store().snapshots("p"))->create("one", false));
  const Ino shown = NodeId::snapshots_directory_of(kRootIno);
  fuse_rename_in in{};
  in.newdir = shown;
  ASSERT_EQ(
      again({FUSE_RENAME, shown, packed(in) + zero_ended("one") + zero_ended("two")}, GetParam())
          .error,
      0);
  EXPECT_TRUE(found("two", shown));
  expect_sound();
}

TEST_P(Twice, WriteAndTruncateAreSimplyDoneAgain) {
  const Ino file = make("file");
  fuse_write_in in{};
  in.offset = 10;
  in.size = 5;
  ASSERT_EQ(again({FUSE_WRITE, file, packed(in) + "hello"}, GetParam()).as<fuse_write_out>().size,
            5u);
  EXPECT_EQ(daemon_->volume()->getattr(file)->size, 15u);
  expect_sound();
}

TEST_F(ResentTest, ItIsOtherRequestsThatAreCarriedOut) {
  const Ask ask{FUSE_UNLINK, kRootIno, zero_ended("file")};
  make("file");
  const auto unique = kernel_->send(ask.opcode, ask.node, ask.body);
  ASSERT_EQ(kernel_->answer_to(unique).error, 0);
  next_daemon();
  send_again(ask, unique + 2);  // an unlink of a name that is not there
  ASSERT_TRUE(adopt());
  EXPECT_EQ(kernel_->answer_to((unique + 2) | kResent).error, ENOENT);
}

TEST_F(ResentTest, AnotherConnectionsRequestWithTheSameNumberIsCarriedOut) {
  const Ask ask{FUSE_UNLINK, kRootIno, zero_ended("file")};
  make("file");
  const auto unique = kernel_->send(ask.opcode, ask.node, ask.body);
  ASSERT_EQ(kernel_->answer_to(unique).error, 0);
  next_daemon();
  kept_.connection = kConnection + 1;
  send_again(ask, unique);
  ASSERT_TRUE(adopt());
  EXPECT_EQ(kernel_->answer_to(unique | kResent).error, ENOENT);
}

TEST_F(ResentTest, ARecordOutlivesMoreThanOneCrash) {
  const Ask ask{FUSE_UNLINK, kRootIno, zero_ended("file")};
  make("file");
  const auto unique = kernel_->send(ask.opcode, ask.node, ask.body);
  ASSERT_EQ(kernel_->answer_to(unique).error, 0);
  next_daemon();  // dies before it adopts anything
  next_daemon();  // dies after another request, of the same slot, was carried out
  make("other");
  send_again({FUSE_UNLINK, kRootIno, zero_ended("other")}, unique + 100);
  ASSERT_TRUE(adopt());
  ASSERT_EQ(kernel_->answer_to((unique + 100) | kResent).error, 0);
  next_daemon();
  send_again({FUSE_UNLINK, kRootIno, zero_ended("other")}, unique + 100);
  send_again(ask, unique);
  ASSERT_TRUE(adopt());
  EXPECT_EQ(kernel_->answer_to(unique | kResent).error, 0);
  EXPECT_EQ(kernel_->answer_to((unique + 100) | kResent).error, 0);

  // Once all is answered nothing is remembered.
  ASSERT_TRUE(daemon_->store().forget_answers());
  EXPECT_FALSE(daemon_->store().answered({kConnection, unique}));
  next_daemon();
  EXPECT_FALSE(daemon_->store().answered({kConnection, unique}));
}

TEST_F(ResentTest, AsksTheKernelBeforeItServes) {
  next_daemon();
  ASSERT_TRUE(adopt());
  ASSERT_EQ(kernel_->call(FUSE_GETATTR, kRootIno, packed(fuse_getattr_in{})).error, 0);
  const auto notifications = kernel_->notifications();
  ASSERT_EQ(notifications.size(), 1u);
  EXPECT_EQ(notifications[0].code, kNotifyResend);
}

TEST_F(ResentTest, ForgetsAndInterruptsComeInBetween) {
  make("file");
  const auto unique = kernel_->send(FUSE_UNLINK, kRootIno, zero_ended("file"));
  ASSERT_EQ(kernel_->answer_to(unique).error, 0);
  next_daemon();
  kernel_->send(FUSE_FORGET, 99, packed(fuse_forget_in{}));
  kernel_->send(FUSE_INTERRUPT, 0, packed(fuse_interrupt_in{.unique = unique | kResent}));
  send_again({FUSE_UNLINK, kRootIno, zero_ended("file")}, unique);
  const auto later = kernel_->send(FUSE_GETATTR, kRootIno, packed(fuse_getattr_in{}));
  ASSERT_TRUE(adopt());
  EXPECT_EQ(kernel_->answer_to(unique | kResent).error, 0);
  EXPECT_EQ(kernel_->answer_to(later).error, 0);
}

TEST_F(ResentTest, AnUnlinkedFileStaysWhileTheKernelKnowsIt) {
  const Ino file = make("file");
  const auto unique = kernel_->send(FUSE_UNLINK, kRootIno, zero_ended("file"));
  ASSERT_EQ(kernel_->answer_to(unique).error, 0);
  daemon_->server().hand_over();
  next_daemon();
  ASSERT_TRUE(adopt());
  EXPECT_EQ(kernel_->call(FUSE_GETATTR, file, packed(fuse_getattr_in{})).error, 0);
}

TEST_F(ResentTest, AKernelThatCannotSendAgainKeepsOnlyWhatWasAnswered) {
  auto& in = *reinterpret_cast<fuse_init_in*>(kept_.init.data() + sizeof(fuse_in_header));
  in.flags2 &= ~static_cast<std::uint32_t>(kHasResend >> 32);
  next_daemon();
  EXPECT_EQ(adopt(false).error().code, EOPNOTSUPP);
  next_daemon();
  EXPECT_TRUE(adopt(true));
  ASSERT_EQ(kernel_->call(FUSE_GETATTR, kRootIno, packed(fuse_getattr_in{})).error, 0);
  EXPECT_TRUE(kernel_->notifications().empty());
}

TEST_F(ResentTest, WhatWasAgreedIsKept) {
  // A daemon that agreed to less than this one would.
  kept_.granted &= ~std::uint64_t{FUSE_SETXATTR_EXT};
  const Ino file = make("file");
  next_daemon();
  ASSERT_TRUE(adopt());
  fuse_setxattr_in in{};
  in.size = 1;
  const auto short_form =
      packed(in).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE) + zero_ended("user.a") + "v";
  ASSERT_EQ(kernel_->call(FUSE_SETXATTR, file, short_form).error, 0);
  EXPECT_EQ(*daemon_->volume()->getxattr(file, "user.a"), "v");

  next_daemon();
  kept_.granted |= FUSE_WRITEBACK_CACHE;  // which this one would never do
  EXPECT_EQ(adopt().error().code, EPROTO);
}

TEST_F(ResentTest, AMountThatEndedMeanwhileIsGone) {
  next_daemon();
  kernel_->hang_up();
  EXPECT_FALSE(adopt());
}

TEST(KeptMountTest, IsWrittenAndRead) {
  KeptMount mount;
  mount.connection = random_connection();
  mount.id = "p";
  mount.mountpoint = "/a\xff b\n";
  mount.device = 0x123456789;
  mount.flags.read_only = true;
  mount.init = std::string("\0\x80init", 6);
  mount.granted = UINT64_MAX;
  const auto read = KeptMount::decode(mount.encode());
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->connection, mount.connection);
  EXPECT_EQ(read->id, mount.id);
  EXPECT_EQ(read->mountpoint, mount.mountpoint);
  EXPECT_EQ(read->device, mount.device);
  EXPECT_TRUE(read->flags.read_only);
  EXPECT_FALSE(read->flags.allow_suid);
  EXPECT_EQ(read->init, mount.init);
  EXPECT_EQ(read->granted, mount.granted);
  EXPECT_EQ(KeptMount::decode("{}").error().code, EIO);
  EXPECT_EQ(KeptMount::decode("").error().code, EPROTO);
}

TEST(KeptMountTest, NamesAreShortAndTellConnectionsApart) {
  EXPECT_EQ(connection_name(1), "00000001");
  EXPECT_EQ(connection_name((std::uint64_t{1} << 48) - 1), "________");
  EXPECT_NE(connection_name(63), connection_name(62));
}

}  // namespace
}  // namespace projfs::fuse
