// SPDX-License-Identifier: MIT
#include "scenario.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <algorithm>
#include <cstdio>

namespace projfs::power {
namespace {
constexpr std::uint64_t kMaxFile = 200'000;
constexpr Caller kRoot{};
}  // namespace

Scenario::Scenario(std::string directory, const Settings& settings)
    : directory_(std::move(directory)), settings_(settings), random_(settings.seed) {}

Status Scenario::open(bool create) {
  env_ = std::make_unique<testing::FaultEnv>(Env::posix(), directory_);
  database_env_ = std::make_unique<testing::FaultRocksEnv>(*env_);
  const std::string store = directory_ + "/store";
  if (create) PROJFS_TRY(Store::init(*env_, store, database_env_->get()));
  Store::Options options;
  options.env = env_.get();
  options.database_env = database_env_->get();
  options.index_buffer_bytes = 4 << 20;
  options.index_cache_bytes = 4 << 20;
  options.block_cache_bytes = 4 << 20;
  options.background = settings_.background;
  options.ingest_after_ms = 20;
  options.sync_every_ms = settings_.background ? 50 : 0;
  options.reserve_bytes = 1 << 20;
  // Segments so small that they are recycled within a round, and so large that they are not.
  options.stage_bytes = settings_.seed % 3 == 0 ? 32 << 20 : 8 << 20;
  PROJFS_ASSIGN(store_, Store::open(store, options));
  if (create) {
    ProjectSpec spec;
    spec.id = "power";
    PROJFS_TRY(store_->create(spec));
    PROJFS_TRY(store_->sync());
  }
  PROJFS_ASSIGN(volume_, store_->volume("power"));
  return {};
}

void Scenario::said(const std::string& what) {
  log_.push_back(what);
  if (settings_.verbose) std::printf("  %s\n", what.c_str());
}

Ino Scenario::directory() {
  auto dirs = tree_.of_type(S_IFDIR);
  return random_.pick(dirs);
}
Ino Scenario::file() {
  auto files = tree_.of_type(S_IFREG);
  return files.empty() ? 0 : random_.pick(files);
}
std::pair<Ino, std::string> Scenario::entry() {
  std::vector<std::pair<Ino, std::string>> all;
  for (const auto& [ino, node] : tree_.nodes())
    for (const auto& [n, child] : node.entries) all.emplace_back(ino, n);
  return all.empty() ? std::pair<Ino, std::string>{} : random_.pick(all);
}
std::string Scenario::name() { return "n" + std::to_string(random_.below(12)); }

void Scenario::unlinked(Ino ino) {
  // Its content stays known: a removal that was not synced may be undone by the power cut.
  if (ino) volume_->forget(ino);
}

Status Scenario::change_names() {
  const Ino parent = directory();
  const std::string n = name();
  const bool taken = tree_.at(parent).entries.count(n) != 0;
  switch (random_.below(10)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      if (taken) return {};
      static constexpr std::uint32_t kTypes[] = {S_IFREG, S_IFREG, S_IFREG, S_IFREG,
                                                 S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};
      const std::uint32_t type = random_.pick(kTypes);
      Node node;
      node.mode = type | (type == S_IFLNK ? 0777 : 0644);
      const std::string target = "target-" + std::to_string(random_.below(100));
      said("make " + std::to_string(type) + " " + std::to_string(parent) + "/" + n);
      const auto made = type == S_IFDIR   ? volume_->mkdir(parent, n, 0644, kRoot)
                        : type == S_IFLNK ? volume_->symlink(parent, n, target, kRoot)
                                          : volume_->mknod(parent, n, node.mode, 0, kRoot);
      if (type == S_IFLNK) node.target = target;
      // Without an answer the number is unknown; no earlier one is ever given again.
      PROJFS_TRY(made);
      tree_.add(parent, n, made->ino, node);
      touched(made->ino);
      if (type == S_IFREG) contents_[made->ino];
      return {};
    }
    case 4: {
      const Ino ino = file();
      if (!ino || taken) return {};
      said("link " + std::to_string(ino) + " " + std::to_string(parent) + "/" + n);
      tree_.link(ino, parent, n);
      touched(ino);
      PROJFS_TRY(volume_->link(ino, parent, n));
      return {};
    }
    case 5:
    case 6: {
      const auto [dir, victim] = entry();
      if (!dir) return {};
      const Ino ino = tree_.at(dir).entries.at(victim);
      const bool is_dir = S_ISDIR(tree_.at(ino).mode);
      if (is_dir && !tree_.at(ino).entries.empty()) return {};
      said((is_dir ? "rmdir " : "unlink ") + std::to_string(dir) + "/" + victim);
      touched(ino);
      const Ino gone = tree_.remove(dir, victim);
      PROJFS_TRY(is_dir ? volume_->rmdir(dir, victim) : volume_->unlink(dir, victim));
      unlinked(gone);
      return {};
    }
    default: {
      const auto [dir, from] = entry();
      if (!dir) return {};
      const Ino ino = tree_.at(dir).entries.at(from);
      const bool is_dir = S_ISDIR(tree_.at(ino).mode);
      if (is_dir && tree_.is_below(parent, ino)) return {};
      const auto old = tree_.at(parent).entries.find(n);
      const Ino replaced = old == tree_.at(parent).entries.end() ? 0 : old->second;
      const bool exchange = replaced && random_.one_in(3);
      if (replaced) {
        const Node& other = tree_.at(replaced);
        if (exchange ? S_ISDIR(other.mode) && tree_.is_below(dir, replaced)
                     : S_ISDIR(other.mode) != is_dir || !other.entries.empty())
          return {};
      }
      said("rename " + std::to_string(dir) + "/" + from + " " + std::to_string(parent) + "/" + n +
           (exchange ? " exchange" : ""));
      touched(ino);
      if (replaced) touched(replaced);
      const Ino gone = tree_.rename(dir, from, parent, n, exchange);
      PROJFS_TRY(volume_->rename(dir, from, parent, n, exchange ? RENAME_EXCHANGE : 0));
      unlinked(gone);
      return {};
    }
  }
}

Status Scenario::change_attributes() {
  auto all = tree_.of_type(0);
  const Ino ino = random_.pick(all);
  Node& node = tree_.at(ino);
  touched(ino);
  if (S_ISLNK(node.mode) || random_.one_in(2)) {
    AttrChange change;
    node.uid = static_cast<std::uint32_t>(random_.below(1000));
    change.uid = node.uid;
    if (!S_ISLNK(node.mode)) {
      node.mode = (node.mode & S_IFMT) | static_cast<std::uint32_t>(random_.below(0400) + 0400);
      change.mode = node.mode & 07777;
    }
    said("setattr " + std::to_string(ino));
    PROJFS_TRY(volume_->setattr(ino, change, kRoot));
    return {};
  }
  const std::string key = "user.k" + std::to_string(random_.below(3));
  if (node.xattrs.count(key) && random_.one_in(2)) {
    said("removexattr " + std::to_string(ino) + " " + key);
    node.xattrs.erase(key);
    return volume_->removexattr(ino, key);
  }
  said("setxattr " + std::to_string(ino) + " " + key);
  node.xattrs[key] = "v" + std::to_string(random_.below(1000));
  return volume_->setxattr(ino, key, node.xattrs[key], 0, false);
}

Status Scenario::change_data() {
  const Ino ino = file();
  if (!ino) return {};
  ContentModel& content = contents_[ino];
  const std::uint64_t offset =
      random_.one_in(3) ? content.now().size() : random_.below(kMaxFile / 2);
  const std::uint64_t length = 1 + random_.below(random_.one_in(4) ? 90'000 : 6'000);
  const auto at = std::to_string(ino) + " " + std::to_string(offset) + "+" + std::to_string(length);
  if (offset + length > kMaxFile) return {};
  switch (random_.below(10)) {
    case 0: {
      said("truncate " + std::to_string(ino) + " " + std::to_string(offset));
      content.resize(offset);
      AttrChange change;
      change.size = offset;
      PROJFS_TRY(volume_->setattr(ino, change, kRoot));
      return {};
    }
    case 1: {
      static constexpr int kModes[] = {
          0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE};
      const int mode = random_.pick(kModes);
      said("fallocate " + std::to_string(mode) + " " + at);
      if (mode == 0) content.grow(offset + length);
      if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        content.zero(offset, length, mode & FALLOC_FL_KEEP_SIZE);
      return volume_->fallocate(ino, mode, offset, length);
    }
    case 2: {
      const Ino from = file();
      const std::string& source = contents_[from].now();
      if (from == ino || source.empty()) return {};
      const std::uint64_t start = random_.below(source.size());
      said("copy " + std::to_string(from) + " " + std::to_string(start) + " to " + at);
      const auto copied = volume_->copy_range(from, start, ino, offset, length);
      // Copying may stop early, as copy_file_range(2) may.
      const std::uint64_t most = std::min<std::uint64_t>(length, source.size() - start);
      content.copy(offset, source.substr(start, copied ? std::min(*copied, most) : most));
      if (!copied) content.was_interrupted();
      PROJFS_TRY(copied);
      if (*copied == 0 || *copied > most) return fail(EIO, "copied " + std::to_string(*copied));
      return {};
    }
    default: {
      const std::string data =
          model::content(random_.one_in(2) ? random_.below(50) : random_.next(), length);
      said("write " + at);
      content.write(offset, data);
      return volume_->write(ino, offset, as_bytes(data), false);
    }
  }
}

Status Scenario::make_durable() {
  const auto everything = [&] {
    durable_ = states_.size() - 1;
    for (auto& [ino, content] : contents_) content.synced();
  };
  switch (random_.below(12)) {
    case 0: {
      said("syncfs");
      PROJFS_TRY(volume_->syncfs());
      everything();
      return {};
    }
    case 1: {
      said("sync");
      PROJFS_TRY(store_->sync());
      everything();
      return {};
    }
    case 2: {
      said("ingest");
      return store_->ingest_all();
    }
    case 3: {
      said("collect garbage");
      return store_->collect_garbage();
    }
    default: {
      auto all = tree_.of_type(random_.one_in(4) ? 0 : S_IFREG);
      if (all.empty()) return {};
      const Ino ino = random_.pick(all);
      const bool data_only = random_.one_in(3);
      said((data_only ? "fdatasync " : "fsync ") + std::to_string(ino));
      PROJFS_TRY(volume_->fsync(ino, data_only));
      if (const auto c = contents_.find(ino); c != contents_.end()) c->second.synced();
      if (!data_only) durable_ = std::max(durable_, last_change_[ino]);
      return {};
    }
  }
}

Status Scenario::step() {
  const std::uint64_t dice = random_.below(20);
  if (dice >= 7 && dice < 15) return change_data();
  if (dice >= 15) return make_durable();
  const std::string before = tree_.text();
  const Status result = dice < 5 ? change_names() : change_attributes();
  // Also when there was no answer: it may be done.
  if (tree_.text() != before) {
    for (const Ino ino : touched_) last_change_[ino] = states_.size();
    states_.push_back(tree_);
  }
  touched_.clear();
  return result;
}

std::string Scenario::round() {
  log_.clear();
  states_.assign(1, tree_);
  durable_ = 0;
  last_change_.clear();
  const bool in_the_middle = !random_.one_in(3);
  if (in_the_middle) env_->power_off_after(1 + random_.below(random_.one_in(3) ? 20 : 250));
  for (unsigned i = 0; i < settings_.operations && env_->powered(); ++i) {
    const Status result = step();
    if (!result) {
      if (env_->powered()) return log_.back() + " failed: " + result.error().describe();
      said("no answer: " + result.error().describe());
      break;
    }
    ++done_;
    if (!in_the_middle && random_.one_in(settings_.operations)) break;
  }
  if (random_.one_in(12) && env_->powered()) {
    said("--- orderly end");
    volume_.reset();
    store_.reset();
    for (auto& [ino, content] : contents_) content.synced();
    durable_ = states_.size() - 1;
  } else {
    const auto mode = random_.one_in(3)   ? testing::CrashMode::kDropUnsynced
                      : random_.one_in(8) ? testing::CrashMode::kKeepAll
                                          : testing::CrashMode::kRandom;
    said("--- power cut, mode " + std::to_string(static_cast<int>(mode)));
    env_->crash(random_.next(), mode);
    volume_.reset();
    store_.reset();
  }
  if (const auto opened = open(false); !opened)
    return "does not open again: " + opened.error().describe();
  return verify();
}

std::string Scenario::verify() {
  const std::string found = text_of(*volume_);
  std::size_t match = states_.size();
  for (std::size_t k = durable_; k < states_.size() && match == states_.size(); ++k)
    if (states_[k].text() == found) match = k;
  if (match == states_.size()) {
    // A new inode whose creation got no answer has a number that the model does not know.
    std::string out = "names and attributes are of no moment since the last sync (state " +
                      std::to_string(durable_) + " of " + std::to_string(states_.size()) +
                      ").\nfound:\n" + found + "synced:\n" + states_[durable_].text() + "last:\n" +
                      states_.back().text();
    for (std::size_t k = 0; k < durable_; ++k)
      if (states_[k].text() == found) out += "it is the older state " + std::to_string(k) + "\n";
    return out;
  }
  tree_ = states_[match];
  for (const Ino ino : tree_.of_type(S_IFREG)) {
    const auto attr = volume_->getattr(ino);
    std::string content(attr ? attr->size : 0, '\0');
    const auto n =
        volume_->read(ino, 0, {reinterpret_cast<std::uint8_t*>(content.data()), content.size()});
    if (!n) return "reading inode " + std::to_string(ino) + ": " + n.error().describe();
    content.resize(*n);
    if (attr->size != content.size())
      return "inode " + std::to_string(ino) + " is shorter than its size";
    if (auto why = contents_[ino].explain(content); !why.empty())
      return "inode " + std::to_string(ino) + ": " + why;
    contents_[ino] = ContentModel(std::move(content));
    ++compared_;
  }
  std::erase_if(contents_, [&](const auto& c) { return !tree_.nodes().count(c.first); });
  const auto report = store_->check(true, {});
  if (!report) return "check: " + report.error().describe();
  std::string problems;
  for (const auto& p : report->problems) problems += "check: " + p + "\n";
  return problems;
}

std::string Scenario::run() {
  if (const auto opened = open(true); !opened)
    return "can't make a store: " + opened.error().describe();
  for (unsigned i = 0; i < settings_.rounds; ++i) {
    if (auto problem = round(); !problem.empty()) {
      std::string out = problem + "\noperations:\n";
      for (const auto& line : log_) out += "  " + line + "\n";
      return out;
    }
  }
  return {};
}

}  // namespace projfs::power
