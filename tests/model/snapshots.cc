// SPDX-License-Identifier: MIT
#include "snapshots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "compare.h"

namespace projfs::model {
namespace {

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

// A copy with everything, times and hard links too.
std::string copy(const std::string& from, const std::string& to) {
  return "cp -a '" + from + "' '" + to + "'";
}

}  // namespace

std::string Snapshots::run(const std::string& command) const {
  return std::system(command.c_str()) == 0 ? "" : "failed: " + command;
}

std::string Snapshots::go_back() {
  if (names_.empty()) return {};
  const std::string name = names_[random_.below(names_.size())];
  if (auto d = run(hook_ + " rollback " + name); !d.empty()) return d;
  if (auto d = run("rm -rf '" + model_ + "' && " + copy(copies_ + "/" + name, model_)); !d.empty())
    return d;
  ++gone_back_;
  if (auto d = compare_trees(tested_, model_); !d.empty())
    return "after going back to snapshot " + name + ": " + d;
  return compare(name);
}

std::string Snapshots::clone() {
  const std::string made = tested_ + "-clone", expected = copies_ + "/clone";
  if (has_clone_) {
    if (auto d = compare_trees(made, expected); !d.empty()) return "the clone: " + d;
    if (random_.below(2) == 0) return {};
    has_clone_ = false;
    std::error_code ignored;
    std::filesystem::remove_all(expected, ignored);
    return run(hook_ + " unclone");
  }
  if (names_.empty()) return {};
  const std::string name = names_[random_.below(names_.size())];
  if (auto d = run(hook_ + " clone " + name + " && " + copy(copies_ + "/" + name, expected));
      !d.empty())
    return d;
  has_clone_ = true;
  ++cloned_;
  const auto d = compare_trees(made, expected);
  return d.empty() ? d : "the clone of snapshot " + name + ": " + d;
}

// What is mapped and changed is the kernel's until it is written back, and syncfs does not wait for
// that on FUSE.
std::string Snapshots::write_back() const {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(tested_, error), end; it != end;
       it.increment(error)) {
    if (!it->is_regular_file(error) || it->is_symlink(error)) continue;
    const int file = ::open(it->path().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || ::fsync(file) < 0) return failed("fsync of " + it->path().string());
    ::close(file);
  }
  return error ? "walking " + tested_ + ": " + error.message() : std::string();
}

std::string Snapshots::take() {
  if (auto d = write_back(); !d.empty()) return d;
  const std::string name = "s" + std::to_string(++taken_);
  if (::mkdir(path(name).c_str(), 0755) < 0) return failed("making the snapshot " + name);
  if (auto d = run(copy(model_, copies_ + "/" + name)); !d.empty()) return d;
  names_.push_back(name);
  if (keep_ != 0 && names_.size() > keep_) return drop();
  return {};
}

std::string Snapshots::drop() {
  const auto victim = names_.begin() + static_cast<std::ptrdiff_t>(random_.below(names_.size()));
  const std::string name = *victim;
  names_.erase(victim);
  if (::rmdir(path(name).c_str()) < 0) return failed("deleting the snapshot " + name);
  std::error_code ignored;
  std::filesystem::remove_all(copies_ + "/" + name, ignored);
  return compare_names();
}

std::string Snapshots::compare_names() const {
  std::error_code error;
  std::set<std::string> listed;
  for (const auto& entry : std::filesystem::directory_iterator(tested_ + "/.snapshots", error))
    if (const auto name = entry.path().filename().string(); name.starts_with("s"))
      listed.insert(name);  // others are somebody else's
  if (error) return "listing the snapshots: " + error.message();
  if (listed != std::set<std::string>(names_.begin(), names_.end()))
    return "other snapshots are listed than there should be";
  return {};
}

std::string Snapshots::compare(const std::string& name) {
  ++compared_;
  auto d = compare_trees(path(name), copies_ + "/" + name);
  return d.empty() ? d : "snapshot " + name + " of " + std::to_string(taken_) + ": " + d;
}

std::string Snapshots::compare_some() {
  if (auto d = compare_names(); !d.empty()) return d;
  return names_.empty() ? "" : compare(names_[random_.below(names_.size())]);
}

std::string Snapshots::compare_all() {
  if (auto d = compare_names(); !d.empty()) return d;
  for (const auto& name : names_)
    if (auto d = compare(name); !d.empty()) return d;
  return {};
}

}  // namespace projfs::model
