// SPDX-License-Identifier: MIT
//
// What a file may hold after a power cut: exactly what was synced, or, where it changed since, at
// each byte something it held since then. Of what was not synced, the stage keeps the first so many
// changes; copies by reference are in the index, which may keep more of them or fewer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace projfs::power {

class ContentModel {
 public:
  ContentModel() : ContentModel(std::string()) {}
  explicit ContentModel(std::string durable)
      : states_{std::move(durable)}, whole_{states_.front().size()} {}

  [[nodiscard]] const std::string& now() const { return states_.back(); }
  [[nodiscard]] bool is_synced() const { return states_.size() == 1; }

  void write(std::uint64_t offset, const std::string& data) {
    staged([&](std::uint64_t size) { return std::max(size, offset + data.size()); });
    put(offset, data);
  }
  void copy(std::uint64_t offset, const std::string& data) {
    for (auto* sizes : {&whole_, &cut_}) {
      for (const auto size : std::set(*sizes)) sizes->insert(std::max(size, offset + data.size()));
    }
    put(offset, data);
  }
  void resize(std::uint64_t size) {
    staged([&](std::uint64_t) { return size; });
    std::string next = now();
    next.resize(size);
    states_.push_back(std::move(next));
  }
  void grow(std::uint64_t size) {
    staged([&](std::uint64_t old) { return std::max(old, size); });
    std::string next = now();
    if (next.size() < size) next.resize(size);
    states_.push_back(std::move(next));
  }
  void zero(std::uint64_t offset, std::uint64_t length, bool keep_size) {
    staged([&](std::uint64_t size) { return keep_size ? size : std::max(size, offset + length); });
    std::string next = now();
    if (!keep_size && next.size() < offset + length) next.resize(offset + length);
    for (std::uint64_t i = offset; i < offset + length && i < next.size(); ++i) next[i] = '\0';
    states_.push_back(std::move(next));
  }
  // A change of more than one step got no answer: the size may be of any step.
  void was_interrupted() { any_size_ = true; }
  void synced() { *this = ContentModel(now()); }

  // Empty if `found` is legal, else why not.
  [[nodiscard]] std::string explain(const std::string& found) const {
    if (!(any_size_ && found.size() <= now().size()) && !whole_.contains(found.size()) &&
        !cut_.contains(found.size()))
      return "size " + std::to_string(found.size()) + ", synced " +
             std::to_string(states_.front().size()) + ", last " + std::to_string(now().size()) +
             " of " + std::to_string(states_.size()) + " states";
    for (std::size_t i = 0; i < found.size(); ++i) {
      bool seen = false;
      for (const auto& s : states_) seen = seen || (i < s.size() ? s[i] : '\0') == found[i];
      if (!seen)
        return "the byte at " + std::to_string(i) + " of " + std::to_string(found.size()) +
               " was never there (" + std::to_string(states_.size()) +
               " states since it was synced)";
    }
    return {};
  }

 private:
  void put(std::uint64_t offset, const std::string& data) {
    std::string next = now();
    if (next.size() < offset + data.size()) next.resize(offset + data.size());
    next.replace(offset, data.size(), data);
    states_.push_back(std::move(next));
  }
  void staged(const std::function<std::uint64_t(std::uint64_t)>& resized) {
    cut_.insert(whole_.begin(), whole_.end());
    std::set<std::uint64_t> sizes;
    for (const auto size : whole_) sizes.insert(resized(size));
    whole_ = std::move(sizes);
  }

  std::vector<std::string> states_;  // the first is durable
  // Sizes that it may have: if all staged changes are kept, and if only the first so many are.
  std::set<std::uint64_t> whole_, cut_;
  bool any_size_ = false;
};

}  // namespace projfs::power
