// SPDX-License-Identifier: MIT
#include "compare.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <string_view>
#include <vector>

namespace projfs::model {
namespace {

constexpr std::int64_t kSetByHand = 1'000'000'000;  // seconds; see Generator: clocks are later
constexpr std::int64_t kMillisecond = 1'000'000;

std::int64_t ns(const timespec& t) { return t.tv_sec * 1'000'000'000LL + t.tv_nsec; }
std::string number(std::uint64_t v) { return std::to_string(v); }
std::string octal(mode_t mode) {
  char out[16];
  ::snprintf(out, sizeof out, "%o", mode);
  return out;
}
std::string error_name(int error) { return error ? ::strerror(error) : "success"; }

class Fd {
 public:
  explicit Fd(const std::string& path, int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
      : fd_(::open(path.c_str(), flags)) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  operator int() const { return fd_; }  // NOLINT: stands for the descriptor everywhere

 private:
  int fd_;
};

std::string compare_stat(const struct stat& t, const struct stat& m) {
  if (t.st_mode != m.st_mode) return "mode " + octal(t.st_mode) + ", expected " + octal(m.st_mode);
  if (t.st_nlink != m.st_nlink)
    return "nlink " + number(t.st_nlink) + ", expected " + number(m.st_nlink);
  if (t.st_uid != m.st_uid) return "uid " + number(t.st_uid) + ", expected " + number(m.st_uid);
  if (t.st_gid != m.st_gid) return "gid " + number(t.st_gid) + ", expected " + number(m.st_gid);
  if (!S_ISDIR(m.st_mode) && t.st_size != m.st_size)
    return "size " + number(t.st_size) + ", expected " + number(m.st_size);
  if ((S_ISCHR(m.st_mode) || S_ISBLK(m.st_mode)) && t.st_rdev != m.st_rdev)
    return "device " + number(t.st_rdev) + ", expected " + number(m.st_rdev);
  const bool by_hand = m.st_mtim.tv_sec < kSetByHand;
  if (by_hand != (t.st_mtim.tv_sec < kSetByHand) || (by_hand && ns(t.st_mtim) != ns(m.st_mtim)))
    return "mtime " + std::to_string(ns(t.st_mtim)) + ", expected " +
           std::to_string(ns(m.st_mtim)) + ", mode " + octal(m.st_mode) + ", links " +
           number(m.st_nlink);
  return {};
}

std::string read_all(int fd, std::uint64_t offset, std::uint64_t length) {
  std::string out(length, '\0');
  std::size_t done = 0;
  while (done < length) {
    const ssize_t n =
        ::pread(fd, out.data() + done, length - done, static_cast<off_t>(offset + done));
    if (n < 0) return "read failed: " + error_name(errno);
    if (n == 0) break;
    done += n;
  }
  out.resize(done);
  return out;
}

std::string compare_range(int tested, int model, std::uint64_t offset, std::uint64_t length) {
  constexpr std::uint64_t kPiece = 1 << 20;
  for (std::uint64_t at = offset; at < offset + length; at += kPiece) {
    const std::uint64_t n = std::min(kPiece, offset + length - at);
    const std::string t = read_all(tested, at, n), m = read_all(model, at, n);
    if (t == m) continue;
    const auto where =
        std::mismatch(t.begin(), t.begin() + std::min(t.size(), m.size()), m.begin());
    const std::size_t first = where.first - t.begin();
    std::size_t wrong = 0;
    for (std::size_t i = first; i < std::min(t.size(), m.size()); ++i) wrong += t[i] != m[i];
    return "content differs at " + number(at + first) + " (" + number(wrong) + " bytes of " +
           number(m.size()) + " read; lengths " + number(t.size()) + " and " + number(m.size()) +
           ")";
  }
  return {};
}

std::vector<Range> data_ranges(int fd, std::uint64_t size) {
  std::vector<Range> out;
  off_t at = 0;
  while (static_cast<std::uint64_t>(at) < size) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) {
      if (errno != ENXIO) out.push_back({static_cast<std::uint64_t>(at), size - at});
      break;
    }
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole <= data) return {{0, std::min<std::uint64_t>(size, 64 << 20)}};
    out.push_back({static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(hole - data)});
    at = hole;
  }
  return out;
}

// What either of them calls data; the rest reads as zeros in both.
std::string compare_content(int tested, int model, std::uint64_t size) {
  for (const int fd : {tested, model})
    for (const auto& r : data_ranges(fd, size))
      if (auto d = compare_range(tested, model, r.offset, r.length); !d.empty()) return d;
  return {};
}

std::map<std::string, std::string> xattrs(const std::string& path, std::string& error) {
  std::map<std::string, std::string> out;
  std::string names(65536, '\0');
  const ssize_t n = ::llistxattr(path.c_str(), names.data(), names.size());
  if (n < 0) error = "listxattr: " + error_name(errno);
  for (const char* p = names.data(); n > 0 && p < names.data() + n; p += std::strlen(p) + 1) {
    if (std::string_view(p) == "security.selinux") continue;
    std::string value(65536, '\0');
    const ssize_t length = ::lgetxattr(path.c_str(), p, value.data(), value.size());
    if (length < 0) {
      error = std::string("getxattr ") + p + ": " + error_name(errno);
    } else {
      value.resize(length);
    }
    out[p] = length < 0 ? std::string() : value;
  }
  return out;
}

std::string compare_xattrs(const std::string& tested, const std::string& model) {
  std::string error, model_error;
  const auto t = xattrs(tested, error), m = xattrs(model, model_error);
  if (error != model_error) return error.empty() ? "expected " + model_error : error;
  for (const auto& [name, value] : m) {
    if (!t.count(name)) return "xattr " + name + " is missing";
    if (t.at(name) != value) return "xattr " + name + " has another value";
  }
  for (const auto& [name, value] : t)
    if (!m.count(name)) return "xattr " + name + " should not be there";
  return {};
}

std::string target_of(const std::string& path) {
  std::string out(4096, '\0');
  const ssize_t n = ::readlink(path.c_str(), out.data(), out.size());
  out.resize(n < 0 ? 0 : n);
  return out;
}

// `range`: null compares all of the content.
std::string compare_one(const std::string& tested, const std::string& model, const Range* range,
                        struct stat* tested_stat = nullptr, struct stat* model_stat = nullptr) {
  struct stat t {
  }, m{};
  const int t_error = ::lstat(tested.c_str(), &t) < 0 ? errno : 0;
  const int m_error = ::lstat(model.c_str(), &m) < 0 ? errno : 0;
  if (t_error != m_error)
    return "lstat: " + error_name(t_error) + ", expected " + error_name(m_error);
  if (t_error) return {};
  if (tested_stat) *tested_stat = t;
  if (model_stat) *model_stat = m;
  if (auto d = compare_stat(t, m); !d.empty()) return d;
  if (S_ISLNK(m.st_mode) && target_of(tested) != target_of(model)) return "another target";
  if (auto d = compare_xattrs(tested, model); !d.empty()) return d;
  if (!S_ISREG(m.st_mode) || (range && range->length == 0)) return {};
  const Fd t_fd(tested), m_fd(model);
  if (t_fd < 0 || m_fd < 0) return "open failed";
  return range ? compare_range(t_fd, m_fd, range->offset, range->length)
               : compare_content(t_fd, m_fd, m.st_size);
}

std::string list(const std::string& path, std::map<std::string, int>& out) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return "opendir: " + error_name(errno);
  errno = 0;
  std::string problem;
  while (const dirent* e = ::readdir(dir)) {
    if (!out.emplace(e->d_name, e->d_type).second)
      problem = std::string(e->d_name) + " is listed twice";
  }
  if (errno) problem = "readdir: " + error_name(errno);
  ::closedir(dir);
  return problem;
}

class Trees {
 public:
  std::string walk(const std::string& tested, const std::string& model) {
    ++objects;
    struct stat t {
    }, m{};
    if (auto d = compare_one(tested, model, nullptr, &t, &m); !d.empty()) return tested + ": " + d;
    if (!S_ISDIR(m.st_mode)) {
      if (m.st_nlink > 1) {
        const auto [at, fresh] = links_.emplace(m.st_ino, t.st_ino);
        if (!fresh && at->second != t.st_ino) return tested + ": hard links became two files";
        const auto [back, fresh_back] = links_back_.emplace(t.st_ino, m.st_ino);
        if (!fresh_back && back->second != m.st_ino)
          return tested + ": two files became hard links";
      }
      return {};
    }
    std::map<std::string, int> t_names, m_names;
    if (auto d = list(model, m_names); !d.empty()) return model + ": " + d;
    if (auto d = list(tested, t_names); !d.empty()) return tested + ": " + d;
    for (const auto& [name, type] : m_names) {
      if (!t_names.count(name)) return tested + ": " + name + " is not listed";
      if (t_names.at(name) != DT_UNKNOWN && type != DT_UNKNOWN && t_names.at(name) != type)
        return tested + ": " + name + " is listed with another type";
    }
    for (const auto& [name, type] : t_names)
      if (!m_names.count(name)) return tested + ": " + name + " should not be listed";
    for (const auto& [name, type] : m_names) {
      if (name == "." || name == "..") continue;
      if (auto d = walk(tested + "/" + name, model + "/" + name); !d.empty()) return d;
    }
    return {};
  }
  std::size_t objects = 0;

 private:
  std::map<ino_t, ino_t> links_, links_back_;
};

}  // namespace

std::string compare_object(const std::string& tested, const std::string& model,
                           const Range& range) {
  return compare_one(tested, model, &range);
}

std::string compare_open(int tested, int model, const Range& range) {
  struct stat t {
  }, m{};
  const int t_error = ::fstat(tested, &t) < 0 ? errno : 0;
  const int m_error = ::fstat(model, &m) < 0 ? errno : 0;
  if (t_error != m_error)
    return "fstat: " + error_name(t_error) + ", expected " + error_name(m_error);
  if (t_error) return {};
  if (auto d = compare_stat(t, m); !d.empty()) return d;
  return S_ISREG(m.st_mode) ? compare_range(tested, model, range.offset, range.length) : "";
}

std::string compare_trees(const std::string& tested, const std::string& model,
                          std::size_t* objects) {
  Trees trees;
  auto d = trees.walk(tested, model);
  if (objects) *objects = trees.objects;
  return d;
}

Clocks::Clocks(const std::string& tested, const std::string& model)
    : tested_(tested), model_(model) {
  known_ =
      ::lstat(tested.c_str(), &tested_before_) == 0 && ::lstat(model.c_str(), &model_before_) == 0;
}

std::string Clocks::difference() const {
  struct stat t {
  }, m{};
  if (!known_ || ::lstat(tested_.c_str(), &t) < 0 || ::lstat(model_.c_str(), &m) < 0) return {};
  // Another object has the name now.
  if (t.st_ino != tested_before_.st_ino || m.st_ino != model_before_.st_ino) return {};
  if (!S_ISREG(m.st_mode) && !S_ISDIR(m.st_mode)) return {};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto check = [&](const char* what, timespec stat::*member) -> std::string {
    const bool t_moved = ns(t.*member) != ns(tested_before_.*member);
    const bool m_moved = ns(m.*member) != ns(model_before_.*member);
    if (t_moved == m_moved) return {};
    // A clock that ticks slowly hides a change that comes soon after another.
    const auto& still = t_moved ? model_before_ : tested_before_;
    if (ns(now) - ns(still.st_ctim) < 50 * kMillisecond) return {};
    return std::string(what) + (t_moved ? " moved, should not" : " did not move, should");
  };
  if (auto d = check("ctime", &stat::st_ctim); !d.empty()) return d;
  return check("mtime", &stat::st_mtim);
}

}  // namespace projfs::model
