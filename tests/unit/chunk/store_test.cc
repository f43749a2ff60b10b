// SPDX-License-Identifier: MIT
#include "unit/chunk/store_fixture.h"

#include <fstream>
#include <thread>

#include "chunk/hasher.h"

namespace projfs::chunks {
namespace {

using Store = StoreTest;

TEST_F(Store, RoundTripOfAllSortsOfChunks) {
  std::vector<std::string> contents = {"x", "short", std::string(8192, '\0')};
  for (int i = 0; i < 100; ++i) {
    contents.push_back(text(i, 1 + i * 80));
    contents.push_back(random_bytes(i, 1 + i * 81));
  }
  const auto numbers = put(contents);
  for (std::size_t i = 0; i < numbers.size(); ++i) expect_content(numbers[i], contents[i]);
  expect_clean(numbers);
  EXPECT_GT(store_->stats().packs, 3u);
  open();
  for (std::size_t i = 0; i < numbers.size(); ++i) expect_content(numbers[i], contents[i]);
  expect_clean(numbers);
}

TEST_F(Store, ReadsParts) {
  const auto a = text(1, 5000), b = random_bytes(1, 5000);
  const auto numbers = put({a, b});
  EXPECT_EQ(get(numbers[0], 10, 4990).value(), a.substr(4990));
  EXPECT_EQ(get(numbers[1], 4096, 17).value(), b.substr(17, 4096));
  EXPECT_EQ(get(numbers[0], 11, 4990).error().code, EINVAL);
  EXPECT_EQ(get(numbers[0], 1, 5001).error().code, EINVAL);
  EXPECT_EQ(get(numbers[1] + 1000, 1).error().code, EIO);
}

TEST_F(Store, ReadsManyPiecesInAnyOrder) {
  std::vector<std::string> contents;
  for (int i = 0; i < 700; ++i) {
    contents.push_back(i % 3 == 0 ? random_bytes(i, 1100 + i) : text(i, 900 + i));
  }
  const auto numbers = put(contents);
  std::mt19937_64 random(1);
  for (const bool shuffled : {false, true}) {
    std::vector<std::size_t> order(contents.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (shuffled) std::shuffle(order.begin(), order.end(), random);
    std::vector<std::string> out(order.size());
    std::vector<ChunkStore::Piece> pieces;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto skip = static_cast<std::uint32_t>(random() % 500);
      out[i].resize(contents[order[i]].size() - skip);
      pieces.push_back({numbers[order[i]],
                        skip,
                        {reinterpret_cast<std::uint8_t*>(out[i].data()), out[i].size()}});
    }
    ASSERT_TRUE(store_->read_many(pieces));
    for (std::size_t i = 0; i < order.size(); ++i) {
      EXPECT_TRUE(out[i] == contents[order[i]].substr(pieces[i].offset));
    }
  }
  EXPECT_TRUE(store_->read_many({}));
}

TEST_F(Store, SameContentIsKeptOnce) {
  const auto a = text(1, 3000), b = text(2, 3000);
  const auto first = put({a, b, a});
  EXPECT_EQ(first[0], first[2]);
  EXPECT_NE(first[0], first[1]);
  const auto size = store_->stats().pack_bytes;
  const auto second = put({b, a});
  EXPECT_EQ(second, (std::vector<ChunkNo>{first[1], first[0]}));
  EXPECT_EQ(store_->stats().pack_bytes, size);
  EXPECT_EQ(store_->stats().chunks, 2u);
  EXPECT_EQ(store_->stats().unique_bytes, 6000u);
  expect_clean({first[0], first[1], first[2], second[0], second[1]});
}

TEST_F(Store, ALongRunIsFoundAgainInOrderAndOutOfOrder) {
  std::vector<std::string> contents;
  for (int i = 0; i < 500; ++i) contents.push_back(text(i, 1000));
  const auto numbers = put(contents);
  EXPECT_EQ(put(contents), numbers);
  auto changed = contents;
  for (std::size_t i = 0; i < changed.size(); i += 7) changed[i] = text(10000 + i, 1000);
  const auto mixed = put(changed);
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    if (i % 7 != 0) {
      EXPECT_EQ(mixed[i], numbers[i]);
    } else {
      EXPECT_GT(mixed[i], numbers.back());
    }
  }
  std::reverse(contents.begin(), contents.end());
  EXPECT_EQ(put(contents), std::vector<ChunkNo>(numbers.rbegin(), numbers.rend()));
}

TEST_F(Store, TotalsTellNewFromKnown) {
  put({text(1, 3000)});
  const auto round = store_->begin();
  ASSERT_TRUE(round->add(as_bytes(text(1, 3000)), {}));
  ASSERT_TRUE(round->add(as_bytes(text(2, 2000)), {}));
  ASSERT_TRUE(round->add(as_bytes(text(2, 2000)), {}));
  ASSERT_TRUE(round->finish());
  EXPECT_EQ(round->totals().bytes_added, 7000u);
  EXPECT_EQ(round->totals().bytes_new, 2000u);
  EXPECT_GT(round->totals().bytes_written, 0u);
  EXPECT_LT(round->totals().bytes_written, 2000u);
}

TEST_F(Store, RefusesChunksOfImpossibleSize) {
  const auto round = store_->begin();
  EXPECT_EQ(round->add({}, {}).error().code, EINVAL);
  EXPECT_EQ(round->add(as_bytes(std::string(8193, 'x')), {}).error().code, EINVAL);
  EXPECT_TRUE(round->add(as_bytes(std::string(8192, 'x')), {}));
  EXPECT_TRUE(round->finish());
}

TEST_F(Store, ScopesWithKeysDoNotShare) {
  const auto a = text(1, 3000);
  const auto open_scope = put({a}), first = put({a}, {"key 1"}), second = put({a}, {"key 2"}),
             again = put({a}, {"key 1"});
  EXPECT_NE(open_scope, first);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, again);
  for (const auto n : {open_scope[0], first[0], second[0]}) expect_content(n, a);
  EXPECT_EQ(store_->hash_of(open_scope[0]).value(), sha256(as_bytes(a)).value());
  EXPECT_EQ(store_->hash_of(first[0]).value(), hmac_sha256("key 1", as_bytes(a)).value());
  EXPECT_EQ(store_->hash_of(9999).error().code, ENOENT);
  expect_clean({open_scope[0], first[0], second[0], again[0]});
}

TEST_F(Store, TwoRoundsAtOnceMayBothBringTheSame) {
  const auto a = text(1, 3000);
  auto one = store_->begin(), two = store_->begin();
  const auto n1 = one->add(as_bytes(a), {}).value(), n2 = two->add(as_bytes(a), {}).value();
  ASSERT_TRUE(one->finish());
  ASSERT_TRUE(two->finish());
  reference({n1, n2}, 1);
  one.reset();
  two.reset();
  expect_content(n1, a);
  expect_content(n2, a);
  expect_clean({n1, n2});
  // Whichever of them goes, the other stays, and new data finds a chunk to share or makes one.
  for (const auto& [gone, kept] : {std::pair{n1, n2}, std::pair{n2, ChunkNo{0}}}) {
    reference({gone}, -1);
    collect_all();
    if (kept == 0) break;
    expect_content(kept, a);
    expect_clean({kept});
  }
  EXPECT_EQ(store_->stats().chunks, 0u);
  const auto again = put_one(a);
  expect_content(again, a);
  expect_clean({again});
}

TEST_F(Store, FinishMayBeCalledAgain) {
  const auto round = store_->begin();
  ASSERT_TRUE(round->finish());
  const auto a = round->add(as_bytes(text(1, 1000)), {}).value();
  ASSERT_TRUE(round->finish());
  expect_content(a, text(1, 1000));
  const auto b = round->add(as_bytes(text(2, 1000)), {}).value();
  EXPECT_EQ(round->add(as_bytes(text(1, 1000)), {}).value(), a);
  ASSERT_TRUE(round->finish());
  expect_content(b, text(2, 1000));
  reference({a, b}, 1);
  expect_clean({a, b});
}

TEST_F(Store, AVeryLongRoundCommitsOnItsWay) {
  const auto round = store_->begin();
  std::vector<ChunkNo> n;
  for (int i = 0; i < 33000; ++i) {
    n.push_back(round->add(as_bytes("content " + std::to_string(i)), {}).value());
  }
  EXPECT_GT(store_->stats().chunks, 30000u);
  ASSERT_TRUE(round->finish());
  EXPECT_EQ(store_->stats().chunks, 33000u);
  reference(n, 1);
  expect_content(n[17], "content 17");
  expect_content(n[32999], "content 32999");
  expect_clean(n);
}

TEST_F(Store, ARestartGoesOnWithTheSamePackAndNewNumbers) {
  const auto a = put_one(text(1, 1000));
  open();
  const auto b = put_one(text(2, 1000));
  EXPECT_GT(b, a);
  EXPECT_EQ(store_->stats().packs, 1u);
  reference({a, b}, -1);
  collect_all();
  open();
  const auto c = put_one(text(1, 1000));
  EXPECT_GT(c, b);
  expect_clean({c});
}

TEST_F(Store, OptionsOutOfRangeAreRefused) {
  for (const auto& set : std::vector<std::function<void(ChunkStore::Options&)>>{
           [](auto& o) { o.average_chunk = 1000; }, [](auto& o) { o.average_chunk = 0; },
           [](auto& o) { o.block_bytes = 0; }, [](auto& o) { o.pack_bytes = 1; }}) {
    auto options = options_;
    set(options);
    const auto store = ChunkStore::open(Env::posix(), *db_, dir_.path() + "/other", options);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, EINVAL);
  }
}

}  // namespace
}  // namespace projfs::chunks
