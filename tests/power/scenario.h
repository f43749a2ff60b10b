// SPDX-License-Identifier: MIT
//
// One seed's life of a store: rounds of random operations on a volume, each ended by a power cut at
// a random point, also in the middle of an operation; then the store is opened again and compared
// with what must have survived.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "content_model.h"
#include "model/random.h"
#include "projfs/store.h"
#include "support/fault_env.h"
#include "support/fault_rocks_env.h"
#include "tree_model.h"

namespace projfs::power {

class Scenario {
 public:
  struct Settings {
    std::uint64_t seed = 1;
    unsigned rounds = 4, operations = 120;
    bool background = false;  // the store works on its own too: not repeatable by the seed alone
    bool verbose = false;
  };
  Scenario(std::string directory, const Settings& settings);

  // Empty if everything was as it should be, else what was not.
  std::string run();
  [[nodiscard]] std::uint64_t operations_done() const { return done_; }
  [[nodiscard]] std::uint64_t files_compared() const { return compared_; }

 private:
  Status open(bool create);
  std::string round();
  // One operation: does it, and tells the models. An error says that it failed.
  Status step();
  Status change_names();
  Status change_attributes();
  Status change_data();
  Status make_durable();
  void unlinked(Ino ino);
  void touched(Ino ino) { touched_.push_back(ino); }
  void said(const std::string& what);
  std::string verify();

  Ino directory();
  Ino file();
  std::pair<Ino, std::string> entry();  // {0, ""} in an empty tree
  std::string name();

  std::string directory_;
  Settings settings_;
  model::Random random_;
  std::unique_ptr<testing::FaultEnv> env_;
  std::unique_ptr<testing::FaultRocksEnv> database_env_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Volume> volume_;

  TreeModel tree_;
  // Trees after each change of names and attributes; those before `durable_` can't come back.
  std::vector<TreeModel> states_;
  std::size_t durable_ = 0;
  std::vector<Ino> touched_;                // by the operation being done
  std::map<Ino, std::size_t> last_change_;  // per inode: the state that holds its last change
  std::map<Ino, ContentModel> contents_;
  std::uint64_t done_ = 0, compared_ = 0;
  std::vector<std::string> log_;
};

}  // namespace projfs::power
