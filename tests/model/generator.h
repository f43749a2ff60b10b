// SPDX-License-Identifier: MIT
//
// Chooses random operations that make sense often and fail often enough. What exists is read from a
// directory (the model), so that a run is repeated by its seed alone.
#pragma once

#include <string>

#include "operation.h"
#include "random.h"

namespace projfs::model {

class Generator {
 public:
  struct Limits {
    bool crash_safe = false;    // only what is one request: no mappings, writes up to 64 KiB
    std::size_t entries = 250;  // above this, removals become more likely
  };
  Generator(std::uint64_t seed, std::string model_root, Limits limits);

  Operation next();

 private:
  std::string existing();  // of any kind; "." when the tree is empty
  std::string directory();
  std::string name();          // from a small pool, so that operations meet
  std::string fresh();         // a path in some directory, that may or may not be there
  std::string regular();       // likely a regular file
  void target(Operation& op);  // a slot or a path
  void range(Operation& op);
  void attributes(Operation& op);
  void data(Operation& op);
  std::string acl(bool minimal);
  std::vector<std::string> list(const std::string& path) const;
  std::size_t count(const std::string& path) const;

  Random random_;
  std::string root_;
  Limits limits_;
  std::size_t entries_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace projfs::model
