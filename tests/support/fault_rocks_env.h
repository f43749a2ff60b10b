// SPDX-License-Identifier: MIT
//
// A rocksdb::Env whose files go through a FaultEnv, so that a power cut hits the index and all
// other files at the same instant. Locks and the info log bypass it.
#pragma once

#include <rocksdb/env.h>

#include <memory>

#include "support/fault_env.h"

namespace projfs::testing {

class FaultRocksEnv {
 public:
  // `env` must outlive this and every database that uses it.
  explicit FaultRocksEnv(FaultEnv& env);
  [[nodiscard]] rocksdb::Env* get() const { return env_.get(); }

 private:
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace projfs::testing
