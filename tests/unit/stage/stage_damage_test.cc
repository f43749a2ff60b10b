// SPDX-License-Identifier: MIT
//
// Segments with torn ends, flipped bits, contents of former lives, and headers of other versions.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "projfs/stage.h"
#include "stage/format.h"
#include "stage/segment.h"
#include "support/temp_dir.h"

namespace projfs {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;

class StageDamageTest : public ::testing::Test {
 protected:
  StageDamageTest() {
    options_.lanes = 1;
    options_.segment_bytes = 256 << 10;
    options_.spare_segments = 0;
  }
  std::string directory() const { return dir_.path() + "/stage"; }

  Status open(bool needed = true) {
    stage_.reset();
    offsets_.clear();
    refs_.clear();
    auto opened = Stage::open(Env::posix(), directory(), options_, next_seq_,
                              [&](const StageRecord& r, StageSeq, const StageRef& ref) {
                                offsets_.push_back(r.offset);
                                refs_.push_back(ref);
                                return Result<bool>(needed);
                              });
    if (!opened) return tl::unexpected(opened.error());
    stage_ = std::move(*opened);
    next_seq_ = stage_->last_seq() + 1000;
    return {};
  }
  StageRef append(std::uint64_t offset, std::string_view data) {
    StageRecord r;
    r.project = 1;
    r.inode = 1;
    r.offset = offset;
    return stage_->append(r, as_bytes(data)).value().refs.at(0);
  }
  std::vector<std::string> segments() const {
    std::vector<std::string> out;
    for (const auto& e : fs::directory_iterator(directory())) {
      if (e.path().extension() == ".seg") out.push_back(e.path().string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  static std::string load(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void store(const std::string& path, std::string_view data, std::uint64_t at = 0) {
    std::ofstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(at));
    out << data;
  }

  TempDir dir_;
  Stage::Options options_;
  StageSeq next_seq_ = 1;
  std::unique_ptr<Stage> stage_;
  std::vector<std::uint64_t> offsets_;
  std::vector<StageRef> refs_;
};

// The last record is cut at every byte: it goes, all before it stays.
TEST_F(StageDamageTest, ATornEndAtEveryByte) {
  ASSERT_TRUE(open());
  append(10, "first");
  append(20, "second");
  const auto last = append(30, std::string(50, 'x'));
  stage_.reset();
  const auto path = segments().at(0);
  const auto whole = load(path);
  const auto end = last.position + stage::kRecordHeaderBytes + last.length;
  for (auto cut = last.position; cut < end; ++cut) {
    store(path, whole);
    // What the disk held before: zeros, and, behind a cut of nothing, old bytes.
    store(path, std::string(end - cut, cut % 2 == 0 ? '\0' : 'z'), cut);
    ASSERT_TRUE(open());
    ASSERT_EQ(offsets_, (std::vector<std::uint64_t>{10, 20})) << "cut at " << cut;
    stage_.reset();
  }
  store(path, whole);
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{10, 20, 30}));
}

TEST_F(StageDamageTest, AFileThatEndsEarly) {
  ASSERT_TRUE(open());
  append(10, "first");
  const auto last = append(20, "second");
  stage_.reset();
  const auto path = segments().at(0);
  const auto end = last.position + stage::kRecordHeaderBytes + last.length;
  for (auto size = end; size-- > last.position;) {
    fs::resize_file(path, size);
    ASSERT_TRUE(open());
    ASSERT_EQ(offsets_, (std::vector<std::uint64_t>{10})) << "size " << size;
    stage_.reset();
  }
}

// After a torn end new records go elsewhere, and what lay behind the tear stays dropped.
TEST_F(StageDamageTest, NothingIsAppendedBehindATear) {
  ASSERT_TRUE(open());
  append(10, "first");
  const auto torn = append(20, "second");
  append(30, "third");
  stage_.reset();
  const auto path = segments().at(0);
  store(path, "!", torn.position + stage::kRecordHeaderBytes);
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{10}));
  const auto before = load(path);
  append(40, "fourth");
  stage_.reset();
  EXPECT_EQ(load(path), before);
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{10, 40}));
}

// A tear in one segment drops the later segments of its lane for good, even once it is gone itself.
TEST_F(StageDamageTest, SegmentsBehindATearStayDropped) {
  ASSERT_TRUE(open());
  const std::string data(100 << 10, 'x');
  std::vector<StageRef> refs;
  for (std::uint64_t i = 1; i <= 6; ++i) refs.push_back(append(i, data));
  ASSERT_EQ(segments().size(), 3u);
  stage_.reset();
  store(segments()[0], "!", refs[1].position + stage::kRecordHeaderBytes);
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{1}));
  append(7, data);
  stage_->release(refs_[0]);
  ASSERT_TRUE(stage_->checkpoint());
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{7}));
}

TEST_F(StageDamageTest, ReadersNeverSeeDamage) {
  ASSERT_TRUE(open());
  const auto ref = append(10, std::string(1000, 'x'));
  const auto good = append(20, std::string(1000, 'y'));
  const auto path = segments().at(0);
  std::array<std::uint8_t, 10> out{};
  ASSERT_TRUE(stage_->read(ref, 0, out));
  for (const auto at : {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{63}, std::uint64_t{64},
                        std::uint64_t{1063}}) {
    const auto whole = load(path);
    store(path, "!", ref.position + at);
    EXPECT_EQ(stage_->read(ref, 0, out).error().code, EIO) << at;
    store(path, whole);
  }
  EXPECT_TRUE(stage_->read(good, 990, out));
  auto wrong = good;
  ++wrong.seq;
  EXPECT_EQ(stage_->read(wrong, 0, out).error().code, EIO);
  wrong = good;
  wrong.segment = 12345;
  EXPECT_EQ(stage_->read(wrong, 0, out).error().code, EIO);
}

TEST_F(StageDamageTest, ANewerFormatIsRefusedAndNothingChanges) {
  ASSERT_TRUE(open());
  append(10, "data");
  stage_.reset();
  const auto path = segments().at(0);
  std::ofstream(directory() + "/00000077.new") << "unfinished";
  store(path, std::string("\x02", 1), 8);
  const auto before = load(path);
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOTSUP);
  EXPECT_NE(refused.error().message.find("format 2"), std::string::npos) << refused.error().message;
  EXPECT_EQ(load(path), before);
  EXPECT_TRUE(fs::exists(directory() + "/00000077.new"));
}

TEST_F(StageDamageTest, OneCopyOfTheHeaderIsEnough) {
  ASSERT_TRUE(open());
  append(10, "data");
  stage_.reset();
  const auto path = segments().at(0);
  const auto whole = load(path);
  for (const auto at : {std::uint64_t{0}, stage::kHeaderSpacing}) {
    store(path, whole);
    store(path, std::string(512, '!'), at);
    ASSERT_TRUE(open());
    EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{10}));
    stage_.reset();
  }
}

TEST_F(StageDamageTest, ASegmentWithoutAHeaderIsSetAside) {
  ASSERT_TRUE(open());
  append(10, "data");
  stage_.reset();
  const auto path = segments().at(0);
  store(path, std::string(stage::kRecordsStart, '!'));
  ASSERT_TRUE(open());
  EXPECT_TRUE(offsets_.empty());
  EXPECT_TRUE(fs::exists(path + ".damaged"));
  append(20, "more");
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{20}));
}

TEST_F(StageDamageTest, UnfinishedSegmentsAreRemoved) {
  ASSERT_TRUE(open());
  std::ofstream(directory() + "/00000077.new") << "unfinished";
  ASSERT_TRUE(open());
  EXPECT_FALSE(fs::exists(directory() + "/00000077.new"));
}

// A recycled segment is full of valid records of its former life, right where new ones end.
TEST_F(StageDamageTest, RecordsOfAFormerLifeAreNone) {
  options_.spare_segments = 4;
  ASSERT_TRUE(open());
  const std::string data(1000, 'x');
  for (std::uint64_t i = 0; i < 230; ++i) stage_->release(append(1000 + i, data));
  const auto files = segments();
  ASSERT_TRUE(stage_->checkpoint());
  append(1, data);
  append(2, data);
  ASSERT_TRUE(open());
  EXPECT_EQ(offsets_, (std::vector<std::uint64_t>{1, 2}));
}

// A user cannot forge records: what he writes is no record under a nonce he does not know.
TEST_F(StageDamageTest, TheNonceOfEveryLifeIsNew) {
  options_.spare_segments = 4;
  std::set<std::string> nonces;
  ASSERT_TRUE(open());
  for (int i = 0; i < 5; ++i) {
    for (int k = 0; k < 3; ++k) stage_->release(append(1, std::string(80 << 10, 'x')));
    ASSERT_TRUE(stage_->checkpoint());
    for (const auto& path : segments()) nonces.insert(load(path).substr(24, 8));
  }
  EXPECT_GE(nonces.size(), 5u);
}

}  // namespace
}  // namespace projfs
