// SPDX-License-Identifier: MIT
//
// Removes from history what only a deleted snapshot kept. The cost is by what changed around the
// snapshot: it walks lists of changes, never the project. Work is done in small batches, each
// complete in itself: after a crash it is begun again, and finds done what was done.
//
// For the deleted snapshot S, with the neighbours P before and N after it:
//   - the keys in the lists of (S, N] lead to the versions that S was the last to see. One that no
//     other snapshot sees goes. One that a single other sees is counted as freed with that one.
//   - the keys in the lists of (P, S] lead to the versions that S was the first to see; the lists
//     become part of N's. Without a P nobody will ever ask for those lists, and they go; such
//     versions, seen by N too, are then found through the lists of (N, NN].
// Versions that move to history later never count S (see meta::born_without_dead).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "fs/engine.h"
#include "fs/project.h"

namespace projfs::snapshot {

class Remover {
 public:
  Remover(const fs::Engine& engine, fs::Project& project) : engine_(engine), project_(project) {}

  // One batch of work for the project's oldest deleted snapshot; false: there is none left.
  Result<bool> step();

 private:
  enum class Phase { kLast, kFirst, kNext, kDone };

  Status begin(meta::Epoch deleted);
  Status finish();
  // Walks lists of epochs in (after, upto] from where the last call stopped; true: to the end.
  Result<bool> walk(meta::Epoch after, meta::Epoch upto);
  Status visit(meta::Change& change, const std::string& key);
  Status visit_segment(meta::Change& change, const std::string& key);
  // The snapshots but the deleted one, at least two of them, that see a version of these epochs.
  Result<std::vector<meta::Epoch>> other_snapshots(meta::Epoch born, meta::Epoch last) const;
  Result<meta::ExtentList> live_segment(const std::string& key) const;

  const fs::Engine& engine_;
  fs::Project& project_;
  meta::Epoch deleted_ = 0;  // whose removal is under way; 0: none
  // Its neighbours, also such as are themselves being removed; before_ 0: none.
  meta::Epoch before_ = 0, after_ = 0, next_ = 0;
  Phase phase_ = Phase::kDone;
  std::string cursor_;  // in the lists of changes
};

}  // namespace projfs::snapshot
