// SPDX-License-Identifier: MIT
//
// A chunk store in a directory of its own, with small limits so that little data crosses them all.
#pragma once

#include <gtest/gtest.h>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "projfs/chunk_store.h"
#include "projfs/database.h"
#include "support/temp_dir.h"

namespace projfs::chunks {

inline std::string random_bytes(std::uint64_t seed, std::size_t n) {
  std::mt19937_64 random(seed);
  std::string out(n, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

// Looks like text: compresses, and differs everywhere for another seed.
inline std::string text(std::uint64_t seed, std::size_t n) {
  std::mt19937_64 random(seed);
  std::string out;
  while (out.size() < n) out += "line " + std::to_string(random() % 100000) + " of the text\n";
  out.resize(n);
  return out;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    options_.average_chunk = 1 << 10;
    options_.block_bytes = 8 << 10;
    options_.pack_bytes = 64 << 10;
    options_.block_cache_bytes = 1 << 20;
    open();
  }

  void open() { open_at(path_); }
  void open_at(std::string path) {
    close();
    Database::Options db_options;
    db_options.create = !std::filesystem::exists(path + "/meta");
    db_options.block_cache_bytes = 4 << 20;
    db_options.write_buffer_bytes = 4 << 20;
    auto db = Database::open(path + "/meta", db_options);
    ASSERT_TRUE(db) << db.error().describe();
    db_ = std::move(*db);
    path_ = std::move(path);
    auto store = ChunkStore::open(Env::posix(), *db_, path_ + "/packs", options_);
    ASSERT_TRUE(store) << store.error().describe();
    store_ = std::move(*store);
  }
  void close() {
    store_.reset();
    db_.reset();
  }
  // What a kill at this instant would leave: the path of a copy.
  std::string image() {
    const auto copy = dir_.path() + "/image" + std::to_string(++images_);
    std::filesystem::create_directory(copy);
    EXPECT_TRUE(db_->raw().PauseBackgroundWork().ok());
    for (const auto* part : {"/meta", "/packs"}) {
      std::filesystem::create_directory(copy + part);
      for (const auto& file : std::filesystem::directory_iterator(path_ + part)) {
        // RocksDB may just be removing what it does not need any more; a kill a moment later would
        // not leave it either.
        std::error_code error;
        std::filesystem::copy_file(file, copy + part + "/" + file.path().filename().string(),
                                   error);
        EXPECT_TRUE(!error || error == std::errc::no_such_file_or_directory) << error.message();
      }
    }
    EXPECT_TRUE(db_->raw().ContinueBackgroundWork().ok());
    return copy;
  }
  void crash() { open_at(image()); }

  // One round: adds, finishes, references each once.
  std::vector<ChunkNo> put(const std::vector<std::string>& contents, const DedupScope& scope = {}) {
    std::vector<ChunkNo> numbers;
    const auto round = store_->begin();
    for (const auto& c : contents) {
      const auto n = round->add(as_bytes(c), scope);
      EXPECT_TRUE(n) << n.error().describe();
      numbers.push_back(n ? *n : 0);
    }
    const auto done = round->finish();
    EXPECT_TRUE(done) << done.error().describe();
    reference(numbers, 1);
    return numbers;
  }
  ChunkNo put_one(const std::string& content) { return put({content}).front(); }

  void reference(const std::vector<ChunkNo>& numbers, std::int64_t delta) {
    rocksdb::WriteBatch batch;
    for (const auto n : numbers) store_->add_reference(batch, n, delta);
    const auto done = db_->commit(batch);
    EXPECT_TRUE(done);
  }

  Result<std::string> get(ChunkNo chunk, std::size_t size, std::uint32_t offset = 0) {
    std::string out(size, '\0');
    PROJFS_TRY(
        store_->read(chunk, offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}));
    return out;
  }
  void expect_content(ChunkNo chunk, const std::string& content) {
    const auto got = get(chunk, content.size());
    ASSERT_TRUE(got) << got.error().describe();
    EXPECT_TRUE(*got == content) << "chunk " << chunk << " has other content";
  }
  void expect_eio(ChunkNo chunk, std::size_t size) {
    const auto got = get(chunk, size);
    ASSERT_FALSE(got) << "chunk " << chunk << " was read";
    EXPECT_EQ(got.error().code, EIO);
  }

  void collect_all() {
    for (;;) {
      const auto more = store_->collect(1000);
      ASSERT_TRUE(more) << more.error().describe();
      if (!*more) return;
    }
  }
  void compact_all(double share) {
    for (;;) {
      const auto more = store_->compact(share);
      ASSERT_TRUE(more) << more.error().describe();
      if (!*more) return;
    }
  }

  // The sentences of check(), given the references that should be there.
  std::vector<std::string> check(const std::vector<ChunkNo>& references, bool read_data = true) {
    const auto found = store_->check(
        nullptr,
        [&](const ChunkStore::ReferenceSink& sink) -> Status {
          for (const auto n : references) sink(n);
          return {};
        },
        read_data);
    EXPECT_TRUE(found) << found.error().describe();
    std::vector<std::string> out;
    if (found) {
      for (const auto& p : *found) out.push_back(p.what);
    }
    return out;
  }
  void expect_clean(const std::vector<ChunkNo>& references) {
    EXPECT_EQ(check(references), std::vector<std::string>());
    // And what stats() says of the disk is what is on the disk.
    std::uint64_t bytes = 0, files = 0;
    for (const auto& e : std::filesystem::directory_iterator(path_ + "/packs")) {
      bytes += e.file_size();
      ++files;
    }
    EXPECT_EQ(store_->stats().pack_bytes, bytes);
    EXPECT_EQ(store_->stats().packs, files);
    EXPECT_LE(store_->stats().dead_bytes, bytes);
  }

  std::vector<std::string> pack_paths() const {
    std::vector<std::string> out;
    for (const auto& e : std::filesystem::directory_iterator(path_ + "/packs")) {
      out.push_back(e.path());
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  testing::TempDir dir_;
  ChunkStore::Options options_;
  std::unique_ptr<Database> db_;
  std::unique_ptr<ChunkStore> store_;
  std::string path_ = dir_.path();
  int images_ = 0;
};

}  // namespace projfs::chunks
