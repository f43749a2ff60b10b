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
  // `hook`: a command that takes the words "rollback NAME", "clone NAME" (mounted beside the tested
  // directory, with "-clone" at the end) and "unclone".
  Snapshots(std::string tested, std::string model, std::string copies, std::string hook,
            std::uint64_t seed, std::size_t keep)
      : tested_(std::move(tested)),
        model_(std::move(model)),
        copies_(std::move(copies)),
        hook_(std::move(hook)),
        random_(seed),
        keep_(keep) {}

  // Each returns an empty string, or what is wrong.
  std::string take();          // makes one; deletes one at random when there are more than `keep`
  std::string compare_some();  // one at random, and what is listed
  std::string compare_all();
  // Rolls the directory and the model back to one at random. REQUIRES: no file is open in either.
  std::string go_back();
  // Compares the clone there is, and removes it or lets it be; without one, makes one.
  std::string clone();

  [[nodiscard]] std::uint64_t taken() const { return taken_; }
  [[nodiscard]] std::uint64_t compared() const { return compared_; }
  [[nodiscard]] std::uint64_t gone_back() const { return gone_back_; }
  [[nodiscard]] std::uint64_t cloned() const { return cloned_; }

 private:
  [[nodiscard]] std::string path(const std::string& name) const {
    return tested_ + "/.snapshots/" + name;
  }
  std::string compare(const std::string& name);
  std::string compare_names() const;
  std::string drop();
  [[nodiscard]] std::string write_back() const;
  [[nodiscard]] std::string run(const std::string& command) const;

  const std::string tested_, model_, copies_, hook_;
  Random random_;
  const std::size_t keep_;
  std::vector<std::string> names_;
  std::uint64_t taken_ = 0, compared_ = 0, gone_back_ = 0, cloned_ = 0;
  bool has_clone_ = false;
};

}  // namespace projfs::model
