// SPDX-License-Identifier: MIT
//
// What a file may hold after a power cut: exactly what was synced, or, where it changed since, at
// each byte something it held since then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace projfs::power {

class ContentModel {
 public:
  ContentModel() : states_(1) {}
  explicit ContentModel(std::string durable) : states_{std::move(durable)} {}

  [[nodiscard]] const std::string& now() const { return states_.back(); }
  [[nodiscard]] bool is_synced() const { return states_.size() == 1; }

  void write(std::uint64_t offset, const std::string& data) {
    std::string next = now();
    if (next.size() < offset + data.size()) next.resize(offset + data.size());
    next.replace(offset, data.size(), data);
    states_.push_back(std::move(next));
  }
  void resize(std::uint64_t size) {
    std::string next = now();
    next.resize(size);
    states_.push_back(std::move(next));
  }
  void zero(std::uint64_t offset, std::uint64_t length, bool keep_size) {
    std::string next = now();
    if (!keep_size && next.size() < offset + length) next.resize(offset + length);
    for (std::uint64_t i = offset; i < offset + length && i < next.size(); ++i) next[i] = '\0';
    states_.push_back(std::move(next));
  }
  // A change of more than one step got no answer: the size may be of any step.
  void was_interrupted() { any_size_ = true; }
  void synced() { states_.erase(states_.begin(), states_.end() - 1); }

  // Empty if `found` is legal, else why not.
  [[nodiscard]] std::string explain(const std::string& found) const {
    bool size_seen = any_size_ && found.size() <= now().size();
    for (const auto& s : states_) size_seen = size_seen || s.size() == found.size();
    if (!size_seen)
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
  std::vector<std::string> states_;  // the first is durable
  bool any_size_ = false;
};

}  // namespace projfs::power
