// SPDX-License-Identifier: MIT
#include "generator.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <algorithm>
#include <cstdio>

namespace projfs::model {
namespace {

constexpr int kDepth = 5;
const std::string kPool[] = {"a",
                             "b",
                             "c",
                             "d",
                             "e",
                             "file",
                             "dir",
                             "\xff\xfe\n",
                             "with space",
                             "\xc3\xa9",
                             std::string(255, 'x'),
                             "z"};
constexpr uid_t kUsers[] = {20001, 20002};
constexpr gid_t kGroups[] = {0, 20001, 20002, 30001};
const std::string kXattrs[] = {"user.a", "user.b", "trusted.t", "security.s", "user.c"};

struct Weight {
  Do what;
  unsigned weight;
};
constexpr Weight kWeights[] = {
    {Do::kCreate, 10},   {Do::kMkdir, 6},       {Do::kMknod, 2},    {Do::kSymlink, 3},
    {Do::kLink, 4},      {Do::kUnlink, 6},      {Do::kRmdir, 3},    {Do::kRename, 9},
    {Do::kOpen, 5},      {Do::kTmpfile, 2},     {Do::kLinkSlot, 1}, {Do::kClose, 2},
    {Do::kWrite, 22},    {Do::kAppend, 5},      {Do::kTruncate, 5}, {Do::kFallocate, 6},
    {Do::kCopyRange, 5}, {Do::kSeek, 2},        {Do::kMapWrite, 3}, {Do::kDirectWrite, 2},
    {Do::kSetXattr, 5},  {Do::kRemoveXattr, 2}, {Do::kChmod, 4},    {Do::kChown, 3},
    {Do::kUtimens, 3},   {Do::kFsync, 2},       {Do::kList, 2}};

bool is_directory(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}
bool is_regular(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}
bool has_set_id(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) != 0;
}
std::string join(const std::string& dir, const std::string& name) {
  return dir == "." ? name : dir + "/" + name;
}

}  // namespace

Generator::Generator(std::uint64_t seed, std::string model_root, Limits limits)
    : random_(seed), root_(std::move(model_root)), limits_(limits) {}

std::vector<std::string> Generator::list(const std::string& path) const {
  std::vector<std::string> names;
  DIR* dir = ::opendir((root_ + "/" + path).c_str());
  if (!dir) return names;
  while (const dirent* e = ::readdir(dir)) {
    std::string n = e->d_name;
    if (n != "." && n != "..") names.push_back(std::move(n));
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

std::size_t Generator::count(const std::string& path) const {
  std::size_t n = 0;
  for (const auto& name : list(path)) {
    const std::string below = join(path, name);
    n += 1 + (is_directory(root_ + "/" + below) ? count(below) : 0);
  }
  return n;
}

std::string Generator::existing() {
  std::string at = ".";
  for (;;) {
    const auto names = list(at);
    if (names.empty() || (at != "." && random_.one_in(5))) return at;
    at = join(at, random_.pick(names));
    if (!is_directory(root_ + "/" + at)) return at;
  }
}

std::string Generator::directory() {
  std::string at = ".";
  for (int depth = 0; depth < kDepth && !random_.one_in(3); ++depth) {
    const auto names = list(at);
    if (names.empty()) break;
    const std::string next = join(at, random_.pick(names));
    if (is_directory(root_ + "/" + next)) at = next;
  }
  return at;
}

std::string Generator::name() { return random_.pick(kPool); }

std::string Generator::fresh() {
  // Now and then through something that is no directory, or does not exist.
  if (random_.one_in(40)) return join(existing(), name());
  return join(directory(), name());
}

std::string Generator::regular() {
  std::string path;
  for (int tries = 0; tries < 6; ++tries) {
    path = existing();
    if (is_regular(root_ + "/" + path)) break;
  }
  return path;
}

void Generator::target(Operation& op) {
  if (random_.one_in(3)) {
    op.slot = static_cast<int>(random_.below(World::kSlots));
  } else {
    op.path = regular();
  }
}

void Generator::range(Operation& op) {
  const auto place = [&] {
    switch (random_.below(16)) {
      case 0:
        return random_.below(1ULL << 40);
      case 1:
        return random_.below(8 << 20);
      case 2:
      case 3:
      case 4:
        return random_.below(64) * 4096;
      default:
        return random_.below(200'000);
    }
  };
  const std::uint64_t longest = limits_.crash_safe ? 64 << 10 : 300 << 10;
  op.offset = place();
  op.other_offset = place();
  op.length = random_.one_in(8)   ? 1 + random_.below(longest)
              : random_.one_in(3) ? 4096 * (1 + random_.below(8))
                                  : 1 + random_.below(10'000);
  op.seed = random_.one_in(2) ? 1 + random_.below(64) : 1 + (random_.next() >> 1);
}

std::string Generator::acl(bool minimal) {
  struct Entry {
    std::uint16_t tag, perm;
    std::uint32_t id;
  };
  std::vector<Entry> entries;
  const auto add = [&](std::uint16_t tag, std::uint32_t id = 0xffffffff) {
    entries.push_back({tag, static_cast<std::uint16_t>(random_.below(8)), id});
    // Set-gid without group execute: kernels and FUSE disagree on who loses it when.
    if (tag == 4 || tag == 16) entries.back().perm |= 1;
  };
  add(1);
  if (!minimal)
    for (const uid_t u : kUsers) add(2, u);
  add(4);
  if (!minimal) {
    add(8, 30001);
    add(16);
  }
  add(32);
  const std::uint32_t version = 2;
  std::string out(reinterpret_cast<const char*>(&version), 4);
  out.append(reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(Entry));
  return out;
}

void Generator::attributes(Operation& op) {
  if (random_.one_in(5)) {
    op.slot = static_cast<int>(random_.below(World::kSlots));
  } else {
    op.path = existing();
    // The users keep their way in.
    if (op.path == "." && op.what != Do::kUtimens) op.path = fresh();
  }
  switch (op.what) {
    case Do::kSetXattr:
    case Do::kRemoveXattr:
      op.name = random_.pick(kXattrs);
      op.value = content(random_.next(), random_.below(150));
      op.flags = random_.one_in(4) ? XATTR_CREATE : random_.one_in(4) ? XATTR_REPLACE : 0;
      if (random_.one_in(4)) {
        op.name = random_.one_in(2) ? "system.posix_acl_access" : "system.posix_acl_default";
        op.value = acl(random_.one_in(3));
        op.flags = 0;
      }
      if (op.what == Do::kRemoveXattr) {
        op.value.clear();
        op.flags = 0;
      }
      break;
    case Do::kChmod:
      op.mode = random_.one_in(4) ? random_.below(010000) : random_.one_in(2) ? 0777 : 0755;
      if (op.mode & S_ISGID) op.mode |= S_IXGRP;  // as in acl()
      break;
    case Do::kChown:
      op.uid = random_.one_in(2) ? static_cast<uid_t>(-1) : random_.pick(kUsers);
      op.gid = op.uid == static_cast<uid_t>(-1) || random_.one_in(2) ? random_.pick(kGroups)
                                                                     : static_cast<gid_t>(-1);
      break;
    default:
      // Before 2001, where no clock goes: a time that was set is recognised for ever.
      op.seconds = 100 + static_cast<std::int64_t>(random_.below(900'000'000));
      op.nanoseconds = static_cast<long>(random_.below(1'000'000'000));
  }
}

void Generator::data(Operation& op) {
  target(op);
  range(op);
  switch (op.what) {
    case Do::kTruncate:
      op.length = op.offset;
      break;
    case Do::kDirectWrite:
      op.offset &= ~4095ULL;
      op.length = (op.length + 4095) & ~4095ULL;
      break;
    case Do::kFallocate: {
      constexpr unsigned kModes[] = {0,
                                     FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE,
                                     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
      op.flags = random_.pick(kModes);
      break;
    }
    case Do::kCopyRange:
      if (random_.one_in(4)) {
        op.other = op.path;
        op.other_slot = op.slot;
      } else if (random_.one_in(3)) {
        op.other_slot = static_cast<int>(random_.below(World::kSlots));
      } else {
        op.other = regular();
      }
      // FUSE does not say whether the caller may keep set-id bits, so projfs drops them for root
      // too.
      if (op.other_slot >= 0 || has_set_id(root_ + "/" + op.other)) op.as = random_.pick(kUsers);
      break;
    case Do::kFsync:
      op.flags = random_.one_in(2) ? 1 : 0;
      break;
    default:
      break;
  }
}

Operation Generator::next() {
  if (steps_++ % 128 == 0) entries_ = count(".");
  const bool crowded = entries_ > limits_.entries;
  const auto weight = [&](const Weight& w) -> std::uint64_t {
    if (w.what == Do::kUnlink || w.what == Do::kRmdir) return w.weight * (crowded ? 6 : 1);
    if (limits_.crash_safe && (w.what == Do::kMapWrite || w.what == Do::kAppend ||
                               w.what == Do::kSeek || w.what == Do::kList))
      return 0;
    return w.weight;
  };
  std::uint64_t sum = 0;
  for (const auto& w : kWeights) sum += weight(w);
  std::uint64_t at = random_.below(sum);
  Operation op;
  for (const auto& w : kWeights) {
    if (at < weight(w)) {
      op.what = w.what;
      break;
    }
    at -= weight(w);
  }
  if (random_.one_in(8)) op.as = random_.pick(kUsers);
  switch (op.what) {
    case Do::kCreate: {
      constexpr unsigned kFlags[] = {0, 0, O_EXCL, O_TRUNC};
      constexpr mode_t kModes[] = {0644, 0666, 0600, 0777, 02775, 04755};
      op.path = fresh();
      op.flags = random_.pick(kFlags);
      op.mode = random_.pick(kModes);
      break;
    }
    case Do::kMkdir: {
      constexpr mode_t kModes[] = {0755, 0777, 0777, 01777, 0700};
      op.path = fresh();
      op.mode = random_.pick(kModes);
      break;
    }
    case Do::kMknod: {
      constexpr mode_t kTypes[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};
      op.path = fresh();
      op.mode = random_.pick(kTypes) | 0640;
      if (S_ISCHR(op.mode) || S_ISBLK(op.mode))
        op.device = makedev(2000 + random_.below(2000), random_.below(1 << 20));
      break;
    }
    case Do::kSymlink:
      op.path = fresh();
      op.value = random_.one_in(20)  ? content(1, 1 + random_.below(4000))
                 : random_.one_in(3) ? name()
                                     : "../" + name();
      if (op.value.find('\0') != std::string::npos) op.value = "target";
      break;
    case Do::kLink:
      op.path = existing();
      op.other = fresh();
      break;
    case Do::kUnlink:
    case Do::kRmdir:
      op.path = existing();
      // Mostly the right call for what it is.
      if (!random_.one_in(10))
        op.what = is_directory(root_ + "/" + op.path) ? Do::kRmdir : Do::kUnlink;
      break;
    case Do::kRename: {
      constexpr unsigned kFlags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
      op.path = existing();
      op.flags = random_.pick(kFlags);
      op.other = op.flags == RENAME_EXCHANGE || random_.one_in(4) ? existing() : fresh();
      break;
    }
    case Do::kOpen:
      op.path = regular();
      op.slot = static_cast<int>(random_.below(World::kSlots));
      break;
    case Do::kTmpfile:
      op.path = directory();
      op.slot = static_cast<int>(random_.below(World::kSlots));
      op.mode = 0644;
      break;
    case Do::kLinkSlot:
      op.path = fresh();
      op.slot = static_cast<int>(random_.below(World::kSlots));
      op.as = 0;
      break;
    case Do::kClose:
      op.slot = static_cast<int>(random_.below(World::kSlots));
      break;
    case Do::kList:
      op.path = directory();
      break;
    case Do::kSetXattr:
    case Do::kRemoveXattr:
    case Do::kChmod:
    case Do::kChown:
    case Do::kUtimens:
      attributes(op);
      break;
    default:
      data(op);
  }
  return op;
}

}  // namespace projfs::model
