// SPDX-License-Identifier: MIT
//
// Does the same random operations in a directory under test and in a plain directory of the host's
// file system, and compares what each call answered, what it touched, and now and then everything.
// A hook command (remounts, restarts of the daemon, dropped caches) is run in between; it is called
// with one word: "remount", "restart", "kill" or "caches", and returns when the directory is there
// again.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "compare.h"
#include "generator.h"
#include "operation.h"
#include "snapshots.h"

namespace projfs::model {
namespace {

struct Settings {
  std::string tested, plain, hook;
  std::uint64_t seed = 1, steps = 10'000, hook_every = 5'000, compare_every = 2'000;
  std::string copies;
  std::uint64_t snapshot_every = 0, keep_snapshots = 8;
  bool clones = false;
};

std::string parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

bool changes_times_alike(const Operation& op) {
  // Mapped writes are stamped when the kernel writes them back; truncate(2) to the same size may or
  // may not stamp.
  // Giving an ACL that says what the mode says already may or may not be a change.
  return op.what != Do::kMapWrite && op.what != Do::kTruncate && op.what != Do::kAppend &&
         !op.name.starts_with("system.posix_acl_");
}

Range touched(const Operation& op, const Outcome& outcome) {
  constexpr std::uint64_t kMargin = 5000;
  const std::uint64_t at = op.what == Do::kCopyRange ? op.other_offset : op.offset;
  const std::uint64_t start = at > kMargin ? at - kMargin : 0;
  switch (op.what) {
    case Do::kWrite:
    case Do::kDirectWrite:
    case Do::kMapWrite:
    case Do::kFallocate:
      return {start, op.length + 2 * kMargin};
    case Do::kCopyRange:
      return {start, static_cast<std::uint64_t>(outcome.result) + 2 * kMargin};
    case Do::kTruncate:
      return {start, 2 * kMargin};
    case Do::kAppend:
      return {0, 400'000};
    default:
      return {};
  }
}

class Run {
 public:
  explicit Run(const Settings& settings)
      : settings_(settings),
        tested_(settings.tested),
        plain_(settings.plain),
        generator_(settings.seed, settings.plain, {}),
        snapshots_(settings.tested, settings.plain, settings.copies, settings.hook, settings.seed,
                   settings.keep_snapshots) {}

  bool go() {
    for (step_ = 1; step_ <= settings_.steps; ++step_) {
      if (!one()) return false;
      if (settings_.hook_every && step_ % settings_.hook_every == 0 && !settings_.hook.empty() &&
          !interrupt())
        return false;
      if (step_ % settings_.compare_every == 0 && !compare_all()) return false;
      if (settings_.snapshot_every && step_ % settings_.snapshot_every == 0 && !snapshot())
        return false;
    }
    if (!compare_all()) return false;
    if (auto d = snapshots_.compare_all(); !d.empty()) return complain(d);
    std::cout << "seed " << settings_.seed << ": " << settings_.steps << " steps, " << failing_
              << " calls failed alike, " << objects_ << " objects at the end, " << interruptions_
              << " interruptions, " << snapshots_.taken() << " snapshots, " << snapshots_.compared()
              << " times one was compared, " << snapshots_.gone_back() << " rollbacks, "
              << snapshots_.cloned() << " clones\n";
    return true;
  }

 private:
  bool one() {
    const Operation op = generator_.next();
    last_.push_back(op.describe());
    if (last_.size() > 30) last_.pop_front();
    std::vector<std::string> paths;
    for (const auto& p : {op.path, op.other}) {
      if (p.empty()) continue;
      paths.push_back(p);
      if (p != ".") paths.push_back(parent(p));
    }
    std::vector<Clocks> clocks;
    clocks.reserve(paths.size());
    for (const auto& p : paths) clocks.emplace_back(tested_.at(p), plain_.at(p));
    const Outcome got = tested_.apply(op), want = plain_.apply(answered(op, got));
    if (got.error != want.error)
      return complain("errno " + std::to_string(got.error) + ", expected " +
                      std::to_string(want.error));
    if (got.result != want.result)
      return complain("result " + std::to_string(got.result) + ", expected " +
                      std::to_string(want.result));
    if (got.text != want.text) return complain("showed something else: " + got.text);
    if (got.error) ++failing_;
    const Range range = got.error ? Range{} : touched(op, got);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (auto d = compare_object(tested_.at(paths[i]), plain_.at(paths[i]), range); !d.empty())
        return complain(paths[i] + ": " + d);
      if (!changes_times_alike(op)) continue;
      if (auto d = clocks[i].difference(); !d.empty()) return complain(paths[i] + ": " + d);
    }
    for (const int slot : {op.slot, op.other_slot}) {
      if (slot < 0 || tested_.slot(slot) < 0) continue;
      if (auto d = compare_open(tested_.slot(slot), plain_.slot(slot), range); !d.empty())
        return complain("slot " + std::to_string(slot) + ": " + d);
    }
    return true;
  }

  bool interrupt() {
    static constexpr const char* kWays[] = {"caches", "remount", "kill", "restart"};
    const std::string way = kWays[interruptions_++ % 4];
    if (way != "caches") {
      tested_.close_all();
      plain_.close_all();
    }
    last_.push_back("--- " + way);
    const int status = std::system((settings_.hook + " " + way).c_str());
    if (status != 0) return complain("the hook failed: " + way);
    if (!compare_all()) return false;
    if (settings_.snapshot_every == 0) return true;
    const auto d = snapshots_.compare_some();
    return d.empty() || complain(d);
  }

  // Snapshots are older than what was done since, and some are younger than an interruption.
  bool snapshot() {
    last_.push_back("--- snapshot");
    if (auto d = snapshots_.compare_some(); !d.empty()) return complain(d);
    if (auto d = snapshots_.take(); !d.empty()) return complain(d);
    if (auto d = snapshots_.compare_some(); !d.empty()) return complain(d);
    if (settings_.hook.empty()) return true;
    if (settings_.clones) {
      if (auto d = snapshots_.clone(); !d.empty()) return complain(d);
    }
    if (snapshots_.taken() % 4 != 0) return true;
    last_.push_back("--- rollback");
    tested_.close_all();
    plain_.close_all();
    if (auto d = snapshots_.go_back(); !d.empty()) return complain(d);
    return true;
  }

  bool compare_all() {
    if (auto d = compare_trees(settings_.tested, settings_.plain, &objects_); !d.empty())
      return complain(d);
    for (int slot = 0; slot < World::kSlots; ++slot) {
      if (tested_.slot(slot) < 0) continue;
      if (auto d = compare_open(tested_.slot(slot), plain_.slot(slot), {0, 500'000}); !d.empty())
        return complain("slot " + std::to_string(slot) + ": " + d);
    }
    return true;
  }

  bool complain(const std::string& what) {
    std::cout << "seed " << settings_.seed << " step " << step_ << ": " << what
              << "\nlast operations:\n";
    for (const auto& l : last_) std::cout << "  " << l << "\n";
    return false;
  }

  const Settings& settings_;
  World tested_, plain_;
  Generator generator_;
  Snapshots snapshots_;
  std::uint64_t step_ = 0, failing_ = 0, interruptions_ = 0;
  std::size_t objects_ = 0;
  std::deque<std::string> last_;
};

}  // namespace
}  // namespace projfs::model

int main(int argc, char** argv) {
  using namespace projfs::model;
  Settings s;
  CLI::App app("Random operations on a mount and on a plain directory, compared.");
  app.add_option("--tested", s.tested, "empty directory of the mount")->required();
  app.add_option("--plain", s.plain, "empty directory of another file system")->required();
  app.add_option("--hook", s.hook, "remounts, drops caches, restarts or kills the daemon");
  app.add_option("--seed", s.seed);
  app.add_option("--steps", s.steps);
  app.add_option("--hook-every", s.hook_every, "steps");
  app.add_option("--compare-every", s.compare_every, "steps");
  app.add_option("--snapshot-every", s.snapshot_every, "steps; 0: no snapshots");
  app.add_flag("--clones", s.clones, "clone a snapshot now and then");
  app.add_option("--keep-snapshots", s.keep_snapshots, "how many; 0: all");
  app.add_option("--copies", s.copies, "empty directory for copies of the model");
  CLI11_PARSE(app, argc, argv);
  ::umask(022);
  if (::setgroups(0, nullptr) < 0 || ::chmod(s.tested.c_str(), 0777) < 0 ||
      ::chmod(s.plain.c_str(), 0777) < 0) {
    std::perror("model_test");
    return 2;
  }
  std::cout << "seed " << s.seed << ", " << s.steps << " steps" << std::endl;
  return Run(s).go() ? 0 : 1;
}
