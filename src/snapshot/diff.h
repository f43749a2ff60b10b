// SPDX-License-Identifier: MIT
//
// What differs between two states of a project. Walks the lists of what was touched between them,
// and what is staged; the project's size costs nothing. Memory is bounded: what is found goes to
// the sink at once, and nothing is remembered of it.
//
// Names are compared as the index has them when run() begins. An inode tells what became of its
// names by itself: where it has fewer or more of them than before some were removed or added, the
// others, one by one in the order of their places, were renamed.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/frozen_index.h"
#include "fs/engine.h"
#include "meta/lineage.h"
#include "projfs/snapshots.h"
#include "snapshot/diff_content.h"
#include "snapshot/staged_changes.h"
#include "snapshot/tree_names.h"

namespace projfs::snapshot {

class Diff {
 public:
  static constexpr meta::Epoch kHead = ~meta::Epoch{0} - 1;  // as good as any epoch to come

  struct State {
    meta::Epoch epoch = kHead;
    std::shared_ptr<Volume> volume;  // what it shows; keeps the snapshot's data
  };
  Diff(const fs::Engine& engine, meta::ProjectNo project, const State& from, const State& to);

  // ESTALE: one of the snapshots was deleted meanwhile. ECANCELED: the sink did not want any more.
  Status run(const Snapshots::DifferenceSink& sink, const std::function<void(double)>& progress);

 private:
  using LineageResult = Result<std::shared_ptr<meta::Lineage>>;
  struct Side {
    Side(const Database& db, const FrozenIndex& at, const LineageResult& lineage,
         meta::ProjectNo project, const State& state)
        : head(state.epoch == kHead),
          volume(state.volume),
          view(db, state.epoch, lineage ? *lineage : nullptr, at.get()),
          names(project, view) {}
    bool head;
    std::shared_ptr<Volume> volume;
    meta::View view;
    TreeNames names;
  };
  // The inode whose keys are being met.
  struct Current {
    Ino ino = 0;
    bool loaded = false;
    bool compared = false;     // it is in both states
    meta::InodeRecord record;  // in the later one
    Attr from, to;
    bool content = false, xattrs = false;  // differ
  };
  // The places of an inode's names that are on one side only.
  struct Moves {
    Ino ino = 0;
    std::vector<Place> gone, came;
  };

  Status visit(const std::string& key);
  Status load();
  Status finish();
  Status entry(const std::string& key, const meta::ParsedKey& parsed);
  Status gone(Ino ino, bool still_there, const meta::ParsedKey& key, std::uint32_t type);
  Status came(Ino ino, bool was_there, const meta::ParsedKey& key, std::uint32_t type);
  Status replaced(const fs::Entry& before, const fs::Entry& after, const meta::ParsedKey& key);
  Result<bool> other_content(const Attr& before, const Attr& after);
  Result<bool> other_xattrs(Ino before, Ino after);
  Status moves_of(Ino ino);
  // False: gone from the head since.
  Result<bool> attributes(const Side& side, Ino ino, Attr& attr) const;
  [[nodiscard]] bool indexed(Ino a, Ino b) const { return !staged_.has(a) && !staged_.has(b); }
  Status emit(Difference::Kind kind, std::uint32_t mode, std::string path,
              std::string old_path = {});

  const fs::Engine& engine_;
  const meta::ProjectNo project_;
  const meta::Epoch older_, newer_;
  const StagedChanges staged_;  // taken before the index is frozen: what leaves it is in the lists
  const FrozenIndex frozen_;
  const LineageResult lineage_;  // as of then: what a clone inherits may be copied meanwhile
  Side from_, to_;
  const ContentDiff content_;
  const Snapshots::DifferenceSink* sink_ = nullptr;
  Current current_;
  Moves moves_;
};

}  // namespace projfs::snapshot
