// SPDX-License-Identifier: MIT
//
// Several writers do random operations below a mount; what was acknowledged is done in a plain
// directory as well. At a random instant a hook kills the daemon ("die"), later brings it back
// ("revive"). Then everything acknowledged must be there, and of each writer's one operation that
// got no answer either all or nothing.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "compare.h"
#include "generator.h"
#include "operation.h"
#include "random.h"
#include "snapshot_noise.h"
#include "snapshots.h"

namespace projfs::model {
namespace {

struct Settings {
  std::string tested, plain, copies, hook;
  std::uint64_t seed = 1, cycles = 20;
  unsigned writers = 3;
  unsigned longest_ms = 300;  // between two kills
};

class Writer {
 public:
  Writer(const Settings& s, unsigned index)
      : name_("writer-" + std::to_string(index)),
        tested_root_(s.tested + "/" + name_),
        plain_root_(s.plain + "/" + name_),
        tested_(tested_root_),
        plain_(plain_root_),
        generator_(s.seed * 1000 + index, plain_root_, {.crash_safe = true, .entries = 120}) {
    for (const auto& dir : {tested_root_, plain_root_})
      if (::mkdir(dir.c_str(), 0777) < 0 || ::chmod(dir.c_str(), 0777) < 0)
        std::perror(dir.c_str());
  }

  // Works until the daemon is gone, or something is wrong.
  void work() {
    for (;;) {
      const Operation op = generator_.next();
      const Outcome got = tested_.apply(op);
      if (got.error == ENOTCONN || got.error == ECONNABORTED || (got.error == EIO && is_dead())) {
        unanswered_ = op;
        return;
      }
      last_.push_back(op.describe());
      if (last_.size() > 400) last_.pop_front();
      if (op.what == Do::kWrite && got.error == 0 && got.result > 0 &&
          got.result < static_cast<std::int64_t>(op.length)) {
        finish_short_write(op, got.result);
        return;
      }
      const Outcome want = plain_.apply(answered(op, got));
      ++acknowledged_;
      if (got.error != want.error || got.result != want.result) {
        problem_ = "errno " + std::to_string(got.error) + " result " + std::to_string(got.result) +
                   ", expected " + std::to_string(want.error) + " and " +
                   std::to_string(want.result);
        return;
      }
    }
  }

  bool verify() {
    tested_.close_all();
    if (problem_.empty()) {
      problem_ = compare_trees(tested_root_, plain_root_);
      if (!problem_.empty() && unanswered_) {
        const std::string without = problem_;
        for (const Operation& op : ways_done(*unanswered_)) {
          plain_.apply(op);
          problem_ = compare_trees(tested_root_, plain_root_);
          if (problem_.empty()) break;
        }
        if (problem_.empty()) {
          ++done_unanswered_;
        } else {
          problem_ = "without what got no answer: " + without + "; with it: " + problem_;
        }
      }
    }
    plain_.close_all();
    if (problem_.empty()) {
      unanswered_.reset();
      return true;
    }
    std::cout << name_ << ": " << problem_
              << "\n  got no answer: " << (unanswered_ ? unanswered_->describe() : "nothing")
              << "\n  last acknowledged:\n";
    for (const auto& l : last_) std::cout << "    " << l << "\n";
    return false;
  }

  [[nodiscard]] bool failed() const { return !problem_.empty(); }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::uint64_t done_unanswered() const { return done_unanswered_; }

 private:
  // A request that was being copied to or from the daemon when it was killed ends with EIO, not
  // with ENOTCONN (fuse_dev_do_read and fuse_dev_do_write in Linux's fs/fuse/dev.c). The kernel may
  // tell of the end of the connection a moment later; a daemon that lives answers.
  [[nodiscard]] bool is_dead() const {
    for (int look = 0; look < 20; ++look) {
      struct statx now {};
      if (::statx(AT_FDCWD, tested_root_.c_str(), AT_STATX_FORCE_SYNC, STATX_MODE, &now) < 0)
        return errno == ENOTCONN || errno == ECONNABORTED;
      ::usleep(10'000);
    }
    return false;
  }

  // The kernel cuts a write at the first and the last page boundary into requests of their own; the
  // daemon may die between two of them. What write(2) answered counts as acknowledged.
  void finish_short_write(Operation op, std::int64_t done) {
    Operation acknowledged = op;
    acknowledged.length = done;
    plain_.apply(acknowledged);
    ++acknowledged_;
    op.offset += done;
    op.skip += done;
    op.length -= done;
    unanswered_ = op;
  }
  // What may be there of an operation that got no answer, to be tried one after the other.
  [[nodiscard]] std::vector<Operation> ways_done(const Operation& op) const {
    std::vector<Operation> ways;
    if (op.what == Do::kWrite || op.what == Do::kDirectWrite) {
      // Before it writes for a user, the kernel has set-id bits taken away, by a request of its
      // own.
      struct stat file {};
      const int known = op.slot >= 0 ? ::fstat(plain_.slot(op.slot), &file)
                                     : ::lstat(plain_.at(op.path).c_str(), &file);
      if (known == 0 && op.as != 0 && (file.st_mode & (S_ISUID | S_ISGID)) != 0) {
        Operation drop = op;
        drop.what = Do::kChmod;
        drop.as = 0;
        drop.mode = file.st_mode & 07777 & ~static_cast<mode_t>(S_ISUID);
        if ((drop.mode & S_IXGRP) != 0) drop.mode &= ~static_cast<mode_t>(S_ISGID);
        ways.push_back(drop);
      }
    }
    if (op.what == Do::kWrite) {
      const std::uint64_t end = op.offset + op.length;
      const std::uint64_t cuts[] = {(op.offset | 4095) + 1, end & ~4095ULL};
      for (const std::uint64_t cut : cuts) {
        if (cut <= op.offset || cut >= end) continue;
        ways.push_back(op);
        ways.back().length = cut - op.offset;
      }
    }
    ways.push_back(op);
    return ways;
  }

  std::string name_, tested_root_, plain_root_;
  World tested_, plain_;
  Generator generator_;
  std::optional<Operation> unanswered_;
  std::string problem_;
  std::deque<std::string> last_;
  std::uint64_t acknowledged_ = 0, done_unanswered_ = 0;
};

bool run(const Settings& s) {
  Random random(s.seed);
  std::vector<std::unique_ptr<Writer>> writers;
  for (unsigned i = 0; i < s.writers; ++i) writers.push_back(std::make_unique<Writer>(s, i));
  SnapshotNoise noise(s.tested, s.seed);
  Snapshots quiet(s.tested, s.plain, s.copies, s.hook, s.seed, 6);
  const bool with_snapshots = !s.copies.empty();
  const auto sound = [&](const std::string& problem) {
    if (!problem.empty()) std::cout << problem << "\n";
    return problem.empty();
  };
  for (std::uint64_t cycle = 1; cycle <= s.cycles; ++cycle) {
    std::vector<std::thread> threads;
    threads.reserve(writers.size());
    for (auto& w : writers) threads.emplace_back([&w] { w->work(); });
    if (with_snapshots) threads.emplace_back([&noise] { noise.work(); });
    ::usleep(1000 * (2 + random.below(s.longest_ms)) + random.below(1000));
    const int died = std::system((s.hook + " die").c_str());
    for (auto& t : threads) t.join();
    bool good = died == 0 && std::system((s.hook + " revive").c_str()) == 0;
    if (!good) std::cout << "the hook failed\n";
    for (auto& w : writers) good = w->verify() && good;
    // What the snapshots of earlier cycles hold is known exactly: they were made while all was
    // quiet.
    if (with_snapshots) {
      good = good && sound(noise.verify()) && sound(quiet.compare_some());
      if (good && cycle % 3 == 0) good = sound(quiet.take());
      if (good && cycle % 3 == 1) good = sound(quiet.clone());
      if (good && cycle % 6 == 5) good = sound(quiet.go_back());
    }
    if (!good) {
      std::cout << "seed " << s.seed << " cycle " << cycle << ": failed\n";
      return false;
    }
  }
  std::uint64_t acknowledged = 0, done = 0;
  for (auto& w : writers) {
    acknowledged += w->acknowledged();
    done += w->done_unanswered();
  }
  std::cout << "seed " << s.seed << ": " << s.cycles << " kills, " << acknowledged
            << " acknowledged operations, all there; " << done << " were done that got no answer; "
            << quiet.taken() << " snapshots compared " << quiet.compared() << " times, "
            << quiet.gone_back() << " rollbacks, " << quiet.cloned() << " clones, " << noise.made
            << " made and " << noise.deleted << " deleted under load\n";
  // A run in which nothing happened proves nothing.
  return acknowledged >= s.cycles;
}

}  // namespace
}  // namespace projfs::model

int main(int argc, char** argv) {
  using namespace projfs::model;
  Settings s;
  CLI::App app("Kills of the daemon under load.");
  app.add_option("--tested", s.tested, "empty directory of the mount")->required();
  app.add_option("--plain", s.plain, "empty directory of another file system")->required();
  app.add_option("--hook", s.hook, "kills the daemon (die) and brings it back (revive)")
      ->required();
  app.add_option("--copies", s.copies,
                 "empty directory beside the plain one; snapshots are in the mix then");
  app.add_option("--seed", s.seed);
  app.add_option("--cycles", s.cycles, "kills");
  app.add_option("--writers", s.writers);
  app.add_option("--longest-ms", s.longest_ms, "between two kills");
  CLI11_PARSE(app, argc, argv);
  ::umask(022);
  if (::setgroups(0, nullptr) < 0) {
    std::perror("crash_test");
    return 2;
  }
  return run(s) ? 0 : 1;
}
