// SPDX-License-Identifier: MIT
//
// Whether two directories show the same: names, types, attributes, links, content, xattrs. The
// first is the one under test, the second the model; every difference is a sentence.
#pragma once

#include <sys/stat.h>
#include <cstdint>
#include <string>

namespace projfs::model {

// Each returns an empty string when there is no difference.
struct Range {
  std::uint64_t offset = 0, length = 0;
};

// Attributes, symlink target and xattrs of one object, and (files) its content in `range`.
std::string compare_object(const std::string& tested, const std::string& model, const Range& range);
// The same of two open files.
std::string compare_open(int tested, int model, const Range& range);
// Everything below two directories, hard links included. `objects` counts what was compared.
std::string compare_trees(const std::string& tested, const std::string& model,
                          std::size_t* objects = nullptr);

// What an operation did to an object's times, for comparing them between file systems whose clocks
// differ.
class Clocks {
 public:
  // Remembers the times of an object before an operation...
  Clocks(const std::string& tested, const std::string& model);
  // ...and says if one file system moved a time stamp that the other left.
  [[nodiscard]] std::string difference() const;

 private:
  std::string tested_, model_;
  bool known_ = false;
  struct stat tested_before_ {
  }, model_before_{};
};

}  // namespace projfs::model
