// SPDX-License-Identifier: MIT
//
// Gives the head of a project the records that it had at the end of an earlier epoch. It walks the
// lists of what changed since, so it costs as much as that, whatever the size of the project; each
// step is a change of the current epoch like any other, so history, references and counters follow.
//
// Nobody changes the project meanwhile. What remains to be done is in the index ("rollback/"
// project -> target epoch, last epoch, position, as varints and a string): after a crash the
// opening of the store completes it, so that it happens as a whole or not at all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/engine.h"
#include "fs/project.h"
#include "meta/view.h"

namespace projfs::snapshot {

class Rollback {
 public:
  Rollback(const fs::Engine& engine, std::shared_ptr<fs::Project> project)
      : engine_(engine), project_(std::move(project)) {}

  // Puts into `batch` that the project is to become what it was at the end of `target`; the epoch
  // that the batch closes is the last whose changes are undone.
  void order(rocksdb::WriteBatch& batch, meta::Epoch target) const;
  // Carries out what was ordered, if anything was. REQUIRES: quiesce is held alone, and nothing of
  // the project is staged.
  Status run();
  // What was ordered will not be carried on with.
  Status cancel();

  [[nodiscard]] static std::string order_key(meta::ProjectNo project);
  // The projects of which a rollback was ordered and is not complete.
  static Result<std::vector<meta::ProjectNo>> ordered(const Database& db);

 private:
  struct Order {
    meta::Epoch target = 0, last = 0;
    std::string position;  // in the lists of changes; empty: from the beginning
  };
  struct Undo;

  [[nodiscard]] static std::string encoded(const Order& order);
  [[nodiscard]] Result<std::optional<Order>> read_order() const;
  Status step(Order& order, bool& done);
  Status undo(Undo& work, const std::string& key) const;
  Status undo_inode(Undo& work, const std::string& key, const std::optional<std::string>& then,
                    const std::optional<meta::LiveValue>& now) const;
  void show(Undo& work);

  const fs::Engine& engine_;
  const std::shared_ptr<fs::Project> project_;
};

}  // namespace projfs::snapshot
