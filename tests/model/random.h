// SPDX-License-Identifier: MIT
//
// A small generator of random numbers that gives the same sequence on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace projfs::model {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // In [0, n).
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <class C>
  auto& pick(C& from) {
    return from[below(std::size(from))];
  }

 private:
  std::uint64_t state_;
};

// `length` bytes that depend on `seed` alone: zeros, text that compresses, or noise.
inline std::string content(std::uint64_t seed, std::size_t length) {
  std::string out(length, '\0');
  Random random(seed);
  switch (seed % 4) {
    case 0:
      break;
    case 1:
      for (std::size_t i = 0; i < length; ++i) out[i] = "projfs model "[(i + seed) % 13];
      break;
    default:
      for (std::size_t i = 0; i < length; i += 8) {
        const std::uint64_t v = random.next();
        for (std::size_t k = 0; k < 8 && i + k < length; ++k)
          out[i + k] = static_cast<char>(v >> (8 * k));
      }
  }
  return out;
}

}  // namespace projfs::model
