// SPDX-License-Identifier: MIT
//
// A set of 64-bit numbers kept as closed intervals: small when the numbers come in runs.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "projfs/bytes.h"

namespace projfs::chunks {

class Intervals {
 public:
  // first -> last, both included; neither overlapping nor adjacent.
  using Map = std::map<std::uint64_t, std::uint64_t>;

  void insert(std::uint64_t n) { insert(n, n); }
  void insert(std::uint64_t first, std::uint64_t last);
  // Removes everything up to and including `n`.
  void erase_through(std::uint64_t n);
  [[nodiscard]] bool contains(std::uint64_t n) const;
  [[nodiscard]] bool empty() const { return map_.empty(); }
  [[nodiscard]] const Map& map() const { return map_; }
  // Closes the smallest gaps until at most `most` intervals are left: a superset in less space.
  void coarsen(std::size_t most);

  void encode(std::string& out) const;
  static std::optional<Intervals> decode(Reader& in);

 private:
  Map map_;
};

}  // namespace projfs::chunks
