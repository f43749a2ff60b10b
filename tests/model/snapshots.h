// SPDX-License-Identifier: MIT
//
// Snapshots of the directory under test, each beside a copy of the model made at the same moment.
// They are compared whole later, one at random at a time, and deleted in random order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "random.h"

namespace projfs::model {

class Snapshots {
 public:
  // `copies`: an empty directory of the model's file system.
  Snapshots(std::string tested, std::string model, std::string copies, std::uint64_t seed,
            std::size_t keep)
      : tested_(std::move(tested)),
        model_(std::move(model)),
        copies_(std::move(copies)),
        random_(seed),
        keep_(keep) {}

  // Each returns an empty string, or what is wrong.
  std::string take();          // makes one; deletes one at random when there are more than `keep`
  std::string compare_some();  // one at random, and what is listed
  std::string compare_all();

  [[nodiscard]] std::uint64_t taken() const { return taken_; }
  [[nodiscard]] std::uint64_t compared() const { return compared_; }

 private:
  [[nodiscard]] std::string path(const std::string& name) const {
    return tested_ + "/.snapshots/" + name;
  }
  std::string compare(const std::string& name);
  std::string compare_names() const;
  std::string drop();

  const std::string tested_, model_, copies_;
  Random random_;
  const std::size_t keep_;
  std::vector<std::string> names_;
  std::uint64_t taken_ = 0, compared_ = 0;
};

}  // namespace projfs::model
