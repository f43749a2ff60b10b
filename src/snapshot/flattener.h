// SPDX-License-Identifier: MIT
//
// Makes a clone stand on its own, a small batch at a time: copies what it still inherits, and when
// that is done and the base let go (by the store), removes the tombstones. Nobody sees anything of
// it, and the counters stay as they are: what is inherited is counted already. Where it stands is
// in the clone's BaseRecord, in the same batch.
#pragma once

#include <string>

#include "fs/engine.h"
#include "fs/project.h"
#include "meta/lineage.h"

namespace projfs::snapshot {

class Flattener {
 public:
  Flattener(const fs::Engine& engine, std::shared_ptr<fs::Project> clone)
      : engine_(engine), project_(std::move(clone)) {}

  // One batch of copying; true: all is copied, so the base can be let go.
  Result<bool> copy();
  // One batch of removing tombstones, after the base was let go; true: there are none left.
  Result<bool> sweep();

  [[nodiscard]] const std::shared_ptr<fs::Project>& project() const { return project_; }

 private:
  Status keep_position(rocksdb::WriteBatch& batch, const std::string& position) const;

  const fs::Engine& engine_;
  const std::shared_ptr<fs::Project> project_;
};

}  // namespace projfs::snapshot
