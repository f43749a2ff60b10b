// SPDX-License-Identifier: MIT
#include "snapshot_noise.h"

#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>

namespace projfs::model {
namespace {

constexpr std::size_t kMost = 6;

bool is_gone(int error) { return error == ENOTCONN || error == ECONNABORTED || error == EIO; }

}  // namespace

void SnapshotNoise::work() {
  for (;;) {
    const bool make = there_.size() < 2 || (there_.size() < kMost && random_.below(2) == 0);
    const auto victim =
        make ? there_.end()
             : std::next(there_.begin(), static_cast<std::ptrdiff_t>(random_.below(there_.size())));
    const std::string name =
        make ? kPrefix + std::to_string(made + 1) + "-" + std::to_string(random_.below(1'000'000))
             : *victim;
    const std::string path = all_ + "/" + name;
    if ((make ? ::mkdir(path.c_str(), 0755) : ::rmdir(path.c_str())) < 0) {
      if (is_gone(errno)) {
        unanswered_ = name;
      } else {
        problem_ = (make ? "making " : "deleting ") + name + ": " + std::strerror(errno);
      }
      return;
    }
    if (make) {
      there_.insert(name);
      ++made;
    } else {
      there_.erase(victim);
      ++deleted;
    }
    ::usleep(1000 * random_.below(20));
  }
}

std::string SnapshotNoise::verify() {
  if (!problem_.empty()) return problem_;
  std::error_code error;
  std::set<std::string> listed;
  for (const auto& entry : std::filesystem::directory_iterator(all_, error)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(kPrefix)) listed.insert(name);
  }
  if (error) return "listing the snapshots: " + error.message();
  if (!unanswered_.empty()) {
    if (listed.contains(unanswered_)) {
      there_.insert(unanswered_);
    } else {
      there_.erase(unanswered_);
    }
    unanswered_.clear();
  }
  for (const auto& name : there_) {
    if (!listed.contains(name))
      return "the snapshot " + name + " was acknowledged and is not there";
    // All of it can be read.
    for (auto at = std::filesystem::recursive_directory_iterator(
             all_ + "/" + name, std::filesystem::directory_options::skip_permission_denied, error);
         !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
      struct stat info {};
      if (::lstat(at->path().c_str(), &info) < 0)
        return at->path().string() + ": " + std::strerror(errno);
    }
    if (error) return "walking through the snapshot " + name + ": " + error.message();
  }
  for (const auto& name : listed)
    if (!there_.contains(name)) return "the snapshot " + name + " is there and should not be";
  return {};
}

}  // namespace projfs::model
