// SPDX-License-Identifier: MIT
#include "fs/overlay.h"

#include <gtest/gtest.h>
#include <random>

namespace projfs::fs {
namespace {

struct Byte {
  int kind = -1;  // -1: no entry
  StageSeq seq = 0;
  std::uint64_t position = 0;  // of the record, plus the byte in it
  bool operator==(const Byte&) const = default;
};

std::vector<Byte> bytes(const Overlay& overlay, std::size_t size) {
  std::vector<Byte> out(size);
  std::uint64_t at = 0;
  for (const auto& [begin, e] : overlay.entries()) {
    EXPECT_EQ(begin, e.begin);
    EXPECT_GE(e.begin, at);
    EXPECT_LT(e.begin, e.end);
    at = e.end;
    for (auto i = e.begin; i < e.end; ++i) {
      out[i] = {static_cast<int>(e.kind), e.seq,
                e.kind == PieceKind::kStaged ? e.ref.position + e.ref_offset + (i - e.begin) : 0};
    }
  }
  return out;
}

TEST(OverlayTest, RandomChangesMatchAModel) {
  constexpr std::size_t kSize = 500;
  std::mt19937 rng(3);
  Overlay overlay;
  std::vector<Byte> model(kSize);
  StageSeq seq = 0;
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t begin = rng() % kSize;
    const std::uint64_t end = begin + 1 + rng() % std::min<std::uint64_t>(80, kSize - begin);
    ++seq;
    switch (rng() % 5) {
      case 0:
        overlay.erase(begin, end);
        std::fill(model.begin() + static_cast<long>(begin), model.begin() + static_cast<long>(end),
                  Byte{});
        break;
      case 1: {
        const auto upto = seq - std::min<StageSeq>(seq, 30);
        overlay.drop_through(upto);
        for (auto& b : model) {
          if (b.kind != -1 && b.seq <= upto) b = {};
        }
        break;
      }
      default: {
        OverlayEntry e;
        e.begin = begin;
        e.end = end;
        e.kind = static_cast<PieceKind>(rng() % 3);
        if (rng() % 2 == 0) e.kind = PieceKind::kStaged;
        e.seq = seq;
        e.ref.position = rng() % 100000;
        overlay.assign(e);
        for (auto i = begin; i < end; ++i) {
          model[i] = {static_cast<int>(e.kind), seq,
                      e.kind == PieceKind::kStaged ? e.ref.position + (i - begin) : 0};
        }
      }
    }
    ASSERT_EQ(bytes(overlay, kSize), model) << "step " << step;
    const std::uint64_t probe = rng() % kSize;
    const auto it = overlay.find(probe);
    for (auto i = probe; i < kSize; ++i) {
      if (model[i].kind == -1) continue;
      ASSERT_NE(it, overlay.end());
      ASSERT_LE(it->second.begin, i);
      ASSERT_GT(it->second.end, probe);
      break;
    }
  }
}

}  // namespace
}  // namespace projfs::fs
