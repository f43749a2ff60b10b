// SPDX-License-Identifier: MIT
//
// What this host knows of the life of each project: its state, since when, and what went wrong.
// Kept in one small file a project, so that a change costs the same however many projects there
// are, and a damaged file concerns one project. Of this host alone: no part of the project.
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "host/life_state.h"
#include "projfs/result.h"

namespace projfs {

struct Life {
  LifeState state = LifeState::kStopped;
  std::int64_t since_ns = 0;         // 0: since ever
  std::optional<std::string> step;   // what is being done now
  std::optional<double> progress;    // 0..1 of it
  std::optional<std::string> error;  // a sentence
  friend bool operator==(const Life&, const Life&) = default;
};

class LifeRecords {
 public:
  // `directory`: where the files are; made when first needed.
  explicit LifeRecords(std::string directory) : directory_(std::move(directory)) {}
  LifeRecords(const LifeRecords&) = delete;
  LifeRecords& operator=(const LifeRecords&) = delete;

  // Called after each change, from the thread that made it. Before anything is entered.
  using Listener = std::function<void(const std::string& id, LifeState from, const Life& now)>;
  void listen(Listener listener) { listener_ = std::move(listener); }

  // A project never heard of, or whose file cannot be understood, is stopped. What an earlier
  // daemon was in the middle of is over: a start failed, a stop is done.
  [[nodiscard]] Life of(const std::string& id);
  // EBUSY with a sentence when `to` may not follow the present state; nothing changed then.
  Status enter(const std::string& id, LifeState to, std::optional<std::string> step = {},
               std::optional<std::string> error = {});
  // The same if the state is `from`; false: it is another.
  bool enter_from(const std::string& id, LifeState from, LifeState to);
  // What is being done in the present state, and how far it is.
  void step(const std::string& id, std::string what, std::optional<double> progress = {});
  // The project is no more.
  void forget(const std::string& id);

 private:
  Life& load(const std::string& id);  // REQUIRES: mutex_
  void save(const std::string& id, const Life& life) const;
  [[nodiscard]] std::string path(const std::string& id) const { return directory_ + "/" + id; }

  const std::string directory_;
  Listener listener_;
  std::mutex mutex_;
  std::map<std::string, Life, std::less<>> lives_;  // those asked about
};

}  // namespace projfs
