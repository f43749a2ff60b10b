// SPDX-License-Identifier: MIT
#include "support/memory_volume.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>

namespace projfs::testing {
namespace {

constexpr unsigned kNoReplace = 1, kExchange = 2;

timespec now() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return t;
}

void touch(Attr& attr) { attr.mtime = attr.ctime = now(); }

void drop_set_id_bits(Attr& attr) {
  if (S_ISDIR(attr.mode)) return;
  attr.mode &= ~static_cast<std::uint32_t>(S_ISUID);
  if (attr.mode & S_IXGRP) attr.mode &= ~static_cast<std::uint32_t>(S_ISGID);
}

// The mode bits that an access ACL stands for, as the kernel encodes it.
void apply_acl(Attr& attr, std::string_view acl) {
  std::uint32_t user = 0, group = 0, mask = 8, other = 0;
  for (std::size_t at = 4; at + 8 <= acl.size(); at += 8) {
    std::uint16_t tag = 0, perm = 0;
    std::memcpy(&tag, acl.data() + at, 2);
    std::memcpy(&perm, acl.data() + at + 2, 2);
    if (tag == 0x01) user = perm;
    if (tag == 0x04) group = perm;
    if (tag == 0x10) mask = perm;
    if (tag == 0x20) other = perm;
  }
  attr.mode = (attr.mode & ~0777u) | user << 6 | (mask < 8 ? mask : group) << 3 | other;
}

}  // namespace

MemoryVolume::MemoryVolume() {
  auto root = std::make_unique<Node>();
  root->attr = {.ino = kRootIno, .mode = S_IFDIR | 0755, .nlink = 2};
  root->attr.atime = root->attr.mtime = root->attr.ctime = root->attr.btime = now();
  root->parent = kRootIno;
  nodes_.emplace(kRootIno, std::move(root));
}

std::size_t MemoryVolume::inodes() const {
  const std::lock_guard lock(mutex_);
  return nodes_.size();
}

bool MemoryVolume::has_kernel_view() const {
  const std::lock_guard lock(mutex_);
  return view_ != nullptr;
}

Status MemoryVolume::enter(std::string_view operation, Ino ino) const {
  return hook_ ? hook_(operation, ino) : Status{};
}

Result<MemoryVolume::Node*> MemoryVolume::node(Ino ino) {
  const auto it = nodes_.find(ino);
  if (it == nodes_.end()) return fail(ESTALE);
  return it->second.get();
}

Result<MemoryVolume::Node*> MemoryVolume::directory(Ino ino) {
  PROJFS_ASSIGN(Node* const found, node(ino));
  if (!S_ISDIR(found->attr.mode)) return fail(ENOTDIR);
  return found;
}

Ino MemoryVolume::find(const Node& dir, std::string_view name) {
  const auto it = dir.cookies.find(std::string(name));
  return it == dir.cookies.end() ? 0 : dir.entries.at(it->second).second;
}

Result<MemoryVolume::Node*> MemoryVolume::make(Node& parent, std::uint32_t mode,
                                               const Caller& caller) {
  auto made = std::make_unique<Node>();
  Attr& attr = made->attr;
  attr = {.ino = next_ino_++, .mode = mode & ~caller.umask, .nlink = 1};
  attr.uid = caller.uid;
  attr.gid = caller.gid;
  if (parent.attr.mode & S_ISGID) {
    attr.gid = parent.attr.gid;
    if (S_ISDIR(mode)) attr.mode |= S_ISGID;
  }
  attr.atime = attr.mtime = attr.ctime = attr.btime = now();
  made->parent = parent.attr.ino;
  Node* const raw = made.get();
  nodes_.emplace(attr.ino, std::move(made));
  return raw;
}

void MemoryVolume::add_name(Node& dir, std::string_view name, Ino ino) {
  const auto cookie = dir.next_cookie++;
  dir.entries.emplace(cookie, std::pair(std::string(name), ino));
  dir.cookies.emplace(name, cookie);
  touch(dir.attr);
}

void MemoryVolume::drop_name(Node& dir, std::string_view name) {
  const auto it = dir.cookies.find(std::string(name));
  dir.entries.erase(it->second);
  dir.cookies.erase(it);
  touch(dir.attr);
}

// The node may be gone afterwards.
void MemoryVolume::lost_a_name(Node& node) {
  node.attr.ctime = now();
  if (S_ISDIR(node.attr.mode)) {
    node.attr.nlink = 0;
  } else {
    --node.attr.nlink;
  }
  if (node.attr.nlink == 0 && !view_) nodes_.erase(node.attr.ino);
}

Result<Attr> MemoryVolume::lookup(Ino parent, std::string_view name) {
  PROJFS_TRY(enter("lookup", parent));
  const std::lock_guard lock(mutex_);
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  PROJFS_ASSIGN(Node* const self, node(parent));
  if (name == ".") return self->attr;
  PROJFS_ASSIGN(Node* const dir, directory(parent));
  const Ino ino = name == ".." ? dir->parent : find(*dir, name);
  if (ino == 0) return fail(ENOENT);
  return nodes_.at(ino)->attr;
}

Result<Attr> MemoryVolume::make_named(Ino parent, std::string_view name, std::uint32_t mode,
                                      const Caller& caller,
                                      const std::function<void(Node&)>& fill) {
  const std::lock_guard lock(mutex_);
  if (name.size() > kMaxName) return fail(ENAMETOOLONG);
  PROJFS_ASSIGN(Node* const dir, directory(parent));
  if (dir->attr.nlink == 0) return fail(ENOENT);
  if (find(*dir, name) != 0) return fail(EEXIST);
  PROJFS_ASSIGN(Node* const made, make(*dir, mode, caller));
  fill(*made);
  add_name(*dir, name, made->attr.ino);
  if (S_ISDIR(mode)) {
    made->attr.nlink = 2;
    ++dir->attr.nlink;
  }
  return made->attr;
}

Result<Attr> MemoryVolume::mknod(Ino parent, std::string_view name, std::uint32_t mode,
                                 std::uint64_t rdev, const Caller& caller) {
  PROJFS_TRY(enter("mknod", parent));
  return make_named(parent, name, mode, caller, [&](Node& made) { made.attr.rdev = rdev; });
}

Result<Attr> MemoryVolume::mkdir(Ino parent, std::string_view name, std::uint32_t mode,
                                 const Caller& caller) {
  PROJFS_TRY(enter("mkdir", parent));
  return make_named(parent, name, S_IFDIR | mode, caller, [](Node&) {});
}

Result<Attr> MemoryVolume::symlink(Ino parent, std::string_view name, std::string_view target,
                                   const Caller& caller) {
  PROJFS_TRY(enter("symlink", parent));
  Caller plain = caller;
  plain.umask = 0;
  return make_named(parent, name, S_IFLNK | 0777, plain, [&](Node& made) {
    made.target = target;
    made.attr.size = target.size();
  });
}

Result<std::string> MemoryVolume::readlink(Ino ino) {
  PROJFS_TRY(enter("readlink", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  if (!S_ISLNK(found->attr.mode)) return fail(EINVAL);
  return found->target;
}

Result<Attr> MemoryVolume::link(Ino ino, Ino new_parent, std::string_view new_name) {
  PROJFS_TRY(enter("link", ino));
  const std::lock_guard lock(mutex_);
  if (new_name.size() > kMaxName) return fail(ENAMETOOLONG);
  PROJFS_ASSIGN(Node* const found, node(ino));
  PROJFS_ASSIGN(Node* const dir, directory(new_parent));
  if (S_ISDIR(found->attr.mode)) return fail(EPERM);
  if (find(*dir, new_name) != 0) return fail(EEXIST);
  add_name(*dir, new_name, ino);
  ++found->attr.nlink;
  found->attr.ctime = now();
  return found->attr;
}

Status MemoryVolume::unlink(Ino parent, std::string_view name) {
  PROJFS_TRY(enter("unlink", parent));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const dir, directory(parent));
  const Ino ino = find(*dir, name);
  if (ino == 0) return fail(ENOENT);
  Node& found = *nodes_.at(ino);
  if (S_ISDIR(found.attr.mode)) return fail(EISDIR);
  drop_name(*dir, name);
  lost_a_name(found);
  return {};
}

Status MemoryVolume::rmdir(Ino parent, std::string_view name) {
  PROJFS_TRY(enter("rmdir", parent));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const dir, directory(parent));
  const Ino ino = find(*dir, name);
  if (ino == 0) return fail(ENOENT);
  Node& found = *nodes_.at(ino);
  if (!S_ISDIR(found.attr.mode)) return fail(ENOTDIR);
  if (!found.entries.empty()) return fail(ENOTEMPTY);
  drop_name(*dir, name);
  --dir->attr.nlink;
  lost_a_name(found);
  return {};
}

Status MemoryVolume::rename(Ino parent, std::string_view name, Ino new_parent,
                            std::string_view new_name, unsigned flags) {
  PROJFS_TRY(enter("rename", parent));
  const std::lock_guard lock(mutex_);
  if (flags != 0 && flags != kNoReplace && flags != kExchange) return fail(EINVAL);
  if (new_name.size() > kMaxName) return fail(ENAMETOOLONG);
  PROJFS_ASSIGN(Node* const from, directory(parent));
  PROJFS_ASSIGN(Node* const to, directory(new_parent));
  const Ino ino = find(*from, name), other = find(*to, new_name);
  if (ino == 0) return fail(ENOENT);
  Node& moved = *nodes_.at(ino);
  const bool is_dir = S_ISDIR(moved.attr.mode);
  if (is_dir)
    for (Ino up = new_parent; up != kRootIno; up = nodes_.at(up)->parent)
      if (up == ino) return fail(EINVAL);
  if (flags == kExchange) {
    if (other == 0) return fail(ENOENT);
    Node& partner = *nodes_.at(other);
    from->entries.at(from->cookies.at(std::string(name))).second = other;
    to->entries.at(to->cookies.at(std::string(new_name))).second = ino;
    const bool partner_is_dir = S_ISDIR(partner.attr.mode);
    if (is_dir) --from->attr.nlink, ++to->attr.nlink, moved.parent = new_parent;
    if (partner_is_dir) --to->attr.nlink, ++from->attr.nlink, partner.parent = parent;
    touch(from->attr);
    touch(to->attr);
    moved.attr.ctime = partner.attr.ctime = now();
    return {};
  }
  if (other == ino) return {};
  if (other != 0) {
    if (flags == kNoReplace) return fail(EEXIST);
    Node& victim = *nodes_.at(other);
    const bool victim_is_dir = S_ISDIR(victim.attr.mode);
    if (is_dir && !victim_is_dir) return fail(ENOTDIR);
    if (!is_dir && victim_is_dir) return fail(EISDIR);
    if (victim_is_dir && !victim.entries.empty()) return fail(ENOTEMPTY);
    drop_name(*to, new_name);
    if (victim_is_dir) --to->attr.nlink;
    lost_a_name(victim);
  }
  drop_name(*from, name);
  add_name(*to, new_name, ino);
  if (is_dir) {
    --from->attr.nlink;
    ++to->attr.nlink;
    moved.parent = new_parent;
  }
  moved.attr.ctime = now();
  return {};
}

Result<Attr> MemoryVolume::tmpfile(Ino parent, std::uint32_t mode, const Caller& caller) {
  PROJFS_TRY(enter("tmpfile", parent));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const dir, directory(parent));
  PROJFS_ASSIGN(Node* const made, make(*dir, S_IFREG | (mode & 07777), caller));
  made->attr.nlink = 0;
  return made->attr;
}

Status MemoryVolume::readdir(Ino dir, std::uint64_t cookie, bool want_attr, const DirSink& sink) {
  PROJFS_TRY(enter("readdir", dir));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, directory(dir));
  if (cookie < 1 && !sink({".", dir, S_IFDIR, 1}, nullptr)) return {};
  if (cookie < 2 && !sink({"..", found->parent, S_IFDIR, 2}, nullptr)) return {};
  for (auto it = found->entries.upper_bound(cookie); it != found->entries.end(); ++it) {
    const Attr& attr = nodes_.at(it->second.second)->attr;
    const DirEntry entry{it->second.first, attr.ino, attr.mode & S_IFMT, it->first};
    if (!sink(entry, want_attr ? &attr : nullptr)) return {};
  }
  return {};
}

Result<Attr> MemoryVolume::getattr(Ino ino) {
  PROJFS_TRY(enter("getattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  return found->attr;
}

Result<Attr> MemoryVolume::setattr(Ino ino, const AttrChange& change, const Caller& /*caller*/) {
  PROJFS_TRY(enter("setattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  Attr& attr = found->attr;
  const timespec t = now();
  if (change.size) {
    if (*change.size > kMaxFileSize) return fail(EFBIG);
    resize(*found, *change.size);
    attr.mtime = t;
  }
  if (change.drop_set_id || change.uid || change.gid) drop_set_id_bits(attr);
  if (change.mode) attr.mode = (attr.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) attr.uid = *change.uid;
  if (change.gid) attr.gid = *change.gid;
  if (change.atime_now) attr.atime = t;
  if (change.mtime_now) attr.mtime = t;
  if (change.atime) attr.atime = *change.atime;
  if (change.mtime) attr.mtime = *change.mtime;
  attr.ctime = t;
  return attr;
}

Status MemoryVolume::setxattr(Ino ino, std::string_view name, std::string_view value, int flags,
                              bool kill_sgid) {
  PROJFS_TRY(enter("setxattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  const bool there = found->xattrs.contains(name);
  if (flags == XATTR_CREATE && there) return fail(EEXIST);
  if (flags == XATTR_REPLACE && !there) return fail(ENODATA);
  found->xattrs.insert_or_assign(std::string(name), std::string(value));
  if (name == "system.posix_acl_access") apply_acl(found->attr, value);
  if (kill_sgid) found->attr.mode &= ~static_cast<std::uint32_t>(S_ISGID);
  found->attr.ctime = now();
  return {};
}

Result<std::string> MemoryVolume::getxattr(Ino ino, std::string_view name) {
  PROJFS_TRY(enter("getxattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  const auto it = found->xattrs.find(name);
  if (it == found->xattrs.end()) return fail(ENODATA);
  return it->second;
}

Result<std::vector<std::string>> MemoryVolume::listxattr(Ino ino) {
  PROJFS_TRY(enter("listxattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  std::vector<std::string> names;
  for (const auto& [name, value] : found->xattrs) names.push_back(name);
  return names;
}

Status MemoryVolume::removexattr(Ino ino, std::string_view name) {
  PROJFS_TRY(enter("removexattr", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  const auto it = found->xattrs.find(name);
  if (it == found->xattrs.end()) return fail(ENODATA);
  found->xattrs.erase(it);
  found->attr.ctime = now();
  return {};
}

void MemoryVolume::account(Node& node) { node.attr.allocated = node.pages.size() * kBlock; }

void MemoryVolume::punch(Node& node, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  for (auto it = node.pages.lower_bound(offset / kBlock);
       it != node.pages.end() && it->first * kBlock < end;) {
    const std::uint64_t start = it->first * kBlock;
    const std::uint64_t from = std::max(offset, start), to = std::min(end, start + kBlock);
    if (from == start && to == start + kBlock) {
      it = node.pages.erase(it);
    } else {
      std::fill(it->second->begin() + static_cast<std::ptrdiff_t>(from - start),
                it->second->begin() + static_cast<std::ptrdiff_t>(to - start), 0);
      ++it;
    }
  }
  account(node);
}

void MemoryVolume::resize(Node& node, std::uint64_t size) {
  if (size < node.attr.size) {
    punch(node, size, node.attr.size - size);
    node.pages.erase(node.pages.lower_bound((size + kBlock - 1) / kBlock), node.pages.end());
    account(node);
  }
  node.attr.size = size;
}

void MemoryVolume::store(Node& node, std::uint64_t offset, Bytes data) {
  for (std::size_t done = 0; done < data.size();) {
    const std::uint64_t at = offset + done;
    auto& page = node.pages[at / kBlock];
    if (!page) page = std::make_unique<Page>(Page{});
    const std::size_t within = at % kBlock;
    const std::size_t n = std::min<std::size_t>(kBlock - within, data.size() - done);
    std::memcpy(page->data() + within, data.data() + done, n);
    done += n;
  }
  node.attr.size = std::max(node.attr.size, offset + data.size());
  account(node);
}

std::size_t MemoryVolume::load(const Node& node, std::uint64_t offset, MutableBytes out) {
  if (offset >= node.attr.size) return 0;
  const std::size_t total = std::min<std::uint64_t>(out.size(), node.attr.size - offset);
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t at = offset + done;
    const std::size_t within = at % kBlock,
                      n = std::min<std::size_t>(kBlock - within, total - done);
    const auto it = node.pages.find(at / kBlock);
    if (it == node.pages.end()) {
      std::memset(out.data() + done, 0, n);
    } else {
      std::memcpy(out.data() + done, it->second->data() + within, n);
    }
    done += n;
  }
  return total;
}

Result<std::size_t> MemoryVolume::read(Ino ino, std::uint64_t offset, MutableBytes out) {
  PROJFS_TRY(enter("read", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  return load(*found, offset, out);
}

Status MemoryVolume::write(Ino ino, std::uint64_t offset, Bytes data, bool drop_set_id) {
  PROJFS_TRY(enter("write", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  if (offset + data.size() > kMaxFileSize) return fail(EFBIG);
  store(*found, offset, data);
  if (drop_set_id) drop_set_id_bits(found->attr);
  touch(found->attr);
  return {};
}

Status MemoryVolume::fallocate(Ino ino, int mode, std::uint64_t offset, std::uint64_t length) {
  PROJFS_TRY(enter("fallocate", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  const bool keep = mode & FALLOC_FL_KEEP_SIZE;
  const int what = mode & ~FALLOC_FL_KEEP_SIZE;
  if (what != 0 && what != FALLOC_FL_PUNCH_HOLE && what != FALLOC_FL_ZERO_RANGE)
    return fail(EOPNOTSUPP);
  if (offset + length > kMaxFileSize) return fail(EFBIG);
  if (what != 0) punch(*found, offset, length);
  if (what != FALLOC_FL_PUNCH_HOLE) {
    for (auto page = offset / kBlock; page * kBlock < offset + length; ++page)
      if (auto& there = found->pages[page]; !there) there = std::make_unique<Page>(Page{});
    if (!keep) found->attr.size = std::max(found->attr.size, offset + length);
    account(*found);
  }
  touch(found->attr);
  return {};
}

Result<std::uint64_t> MemoryVolume::seek(Ino ino, std::uint64_t offset, int whence) {
  PROJFS_TRY(enter("seek", ino));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const found, node(ino));
  if (offset >= found->attr.size) return fail(ENXIO);
  auto it = found->pages.lower_bound(offset / kBlock);
  if (whence == SEEK_DATA) {
    if (it == found->pages.end() || it->first * kBlock >= found->attr.size) return fail(ENXIO);
    return std::max(offset, it->first * kBlock);
  }
  std::uint64_t page = offset / kBlock;
  for (; it != found->pages.end() && it->first == page; ++it) ++page;
  return std::min(std::max(offset, page * kBlock), found->attr.size);
}

Result<std::uint64_t> MemoryVolume::copy_range(Ino from, std::uint64_t from_offset, Ino to,
                                               std::uint64_t to_offset, std::uint64_t length) {
  PROJFS_TRY(enter("copy_range", from));
  const std::lock_guard lock(mutex_);
  PROJFS_ASSIGN(Node* const source, node(from));
  PROJFS_ASSIGN(Node* const target, node(to));
  if (from_offset >= source->attr.size) return std::uint64_t{0};
  std::vector<std::uint8_t> bytes(std::min(length, source->attr.size - from_offset));
  load(*source, from_offset, bytes);
  store(*target, to_offset, bytes);
  touch(target->attr);
  return bytes.size();
}

Status MemoryVolume::fsync(Ino ino, bool /*data_only*/) { return enter("fsync", ino); }

Status MemoryVolume::syncfs() { return enter("syncfs", kRootIno); }

Result<VolumeSpace> MemoryVolume::space() {
  PROJFS_TRY(enter("space", kRootIno));
  const std::lock_guard lock(mutex_);
  constexpr std::uint64_t kTotal = 1ull << 40;
  std::uint64_t used = 0;
  for (const auto& [ino, found] : nodes_) used += found->attr.allocated;
  return VolumeSpace{.total_bytes = kTotal,
                     .free_bytes = kTotal - used,
                     .total_inodes = 1'000'000'000,
                     .free_inodes = 1'000'000'000 - nodes_.size()};
}

void MemoryVolume::forget(Ino ino) {
  if (!enter("forget", ino)) return;
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(ino);
  if (it == nodes_.end() || it->second->attr.nlink > 0) return;
  if (view_ && view_->knows(ino)) return;
  nodes_.erase(it);
}

void MemoryVolume::set_kernel_view(KernelView* view) {
  const std::lock_guard lock(mutex_);
  view_ = view;
  if (view) return;
  std::erase_if(nodes_, [](const auto& item) { return item.second->attr.nlink == 0; });
}

}  // namespace projfs::testing
