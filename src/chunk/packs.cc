// SPDX-License-Identifier: MIT
#include "chunk/packs.h"

#include <xxhash.h>
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "projfs/log.h"

namespace projfs::chunks {
namespace {

constexpr std::string_view kMagic = "PROJPACK";
constexpr std::string_view kSuffix = ".pack";

std::uint64_t number_of(std::string_view name) {
  if (!name.ends_with(kSuffix)) return 0;
  name.remove_suffix(kSuffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return 0;
  return pack_name(number) == std::string(name) + std::string(kSuffix) ? number : 0;
}

}  // namespace

std::string pack_header(std::uint64_t number) {
  std::string h(kMagic);
  put_le32(h, kPackVersion);
  put_le32(h, 0);
  put_le64(h, number);
  put_le64(h, XXH3_64bits(h.data(), h.size()));
  return h;
}

Status check_pack_header(std::uint64_t number, Bytes header) {
  Reader in(header);
  if (in.view(kMagic.size()) != kMagic) return fail(EIO, "it does not start like a pack");
  const auto version = in.le32();
  if (in.ok() && version > kPackVersion) {
    return fail(ENOTSUP, "its format version " + std::to_string(version) + " is newer than " +
                             std::to_string(kPackVersion));
  }
  if (as_view(header) != pack_header(number)) return fail(EIO, "its header is damaged");
  return {};
}

std::string pack_name(std::uint64_t number) {
  char name[40];
  std::snprintf(name, sizeof name, "%08llu.pack", static_cast<unsigned long long>(number));
  return name;
}

std::string Packs::path_of(std::uint64_t number) const {
  return directory_ + "/" + pack_name(number);
}

Result<std::vector<std::uint64_t>> Packs::found() {
  PROJFS_ASSIGN(const auto names, env_.list(directory_));
  std::vector<std::uint64_t> numbers;
  for (const auto& name : names) {
    if (const auto number = number_of(name); number != 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

void Packs::adopt(std::uint64_t number, std::uint64_t size) {
  auto pack = std::make_shared<Pack>(number);
  pack->size = size;
  total_bytes_ += size;
  never_reuse(number);
  const std::unique_lock lock(table_mutex_);
  table_[number] = std::move(pack);
}

void Packs::never_reuse(std::uint64_t number) {
  const std::lock_guard lock(append_mutex_);
  next_ = std::max(next_, number + 1);
}

Status Packs::resume(std::uint64_t number) {
  PROJFS_ASSIGN(std::shared_ptr<File> file, env_.open(path_of(number), Env::Open::kReadWrite));
  std::array<std::uint8_t, kPackHeader> header;
  PROJFS_ASSIGN(const auto n, file->read(0, header));
  PROJFS_TRY(check_pack_header(number, Bytes(header).first(n)));
  const std::lock_guard lock(append_mutex_);
  const std::shared_lock table_lock(table_mutex_);
  const auto it = table_.find(number);
  if (it == table_.end() || it->second->size >= pack_bytes_) return {};
  active_ = it->second;
  active_file_ = std::move(file);
  return {};
}

Status Packs::start_pack() {
  const auto number = next_;
  const auto path = path_of(number);
  PROJFS_ASSIGN(std::shared_ptr<File> file, env_.open(path, Env::Open::kCreateNew));
  // Used up now, also if the rest fails.
  ++next_;
  auto status = file->write(0, as_bytes(pack_header(number)));
  if (status) status = env_.sync_directory(directory_);
  if (!status) {
    if (const auto removed = env_.remove(path); !removed) {
      log::warn("cannot remove the unfinished pack {}: {}", path, removed.error().describe());
    }
    return status;
  }
  auto pack = std::make_shared<Pack>(number);
  pack->size = kPackHeader;
  total_bytes_ += kPackHeader;
  const std::unique_lock lock(table_mutex_);
  table_[number] = pack;
  active_ = std::move(pack);
  active_file_ = std::move(file);
  return {};
}

void Packs::close_active() {
  active_.reset();
  active_file_.reset();
}

Result<Packs::Slot> Packs::reserve(std::uint64_t bytes, std::vector<PackHold>& holds) {
  const std::lock_guard lock(append_mutex_);
  if (active_ && active_->size > kPackHeader && active_->size + bytes > pack_bytes_) {
    close_active();
  }
  if (!active_) PROJFS_TRY(start_pack());
  Slot slot{active_, active_file_, active_->size};
  active_->size += bytes;
  total_bytes_ += bytes;
  if (std::none_of(holds.begin(), holds.end(),
                   [&](const PackHold& h) { return h.pack() == active_.get(); })) {
    holds.emplace_back(active_);
  }
  return slot;
}

void Packs::abandon(const Slot& slot, std::uint64_t bytes) {
  const std::lock_guard lock(append_mutex_);
  if (slot.pack->size != slot.offset + bytes || !slot.file->truncate(slot.offset)) return;
  slot.pack->size -= bytes;
  total_bytes_ -= bytes;
}

Result<std::shared_ptr<File>> Packs::file(std::uint64_t number) {
  {
    const std::lock_guard lock(open_mutex_);
    if (const auto it = open_index_.find(number); it != open_index_.end()) {
      open_.splice(open_.begin(), open_, it->second);
      return it->second->second;
    }
  }
  if (!has(number, 0)) return fail(ENOENT, pack_name(number) + " is missing");
  PROJFS_ASSIGN(std::shared_ptr<File> file, env_.open(path_of(number), Env::Open::kRead));
  const std::lock_guard lock(open_mutex_);
  if (open_index_.contains(number)) return file;
  open_.emplace_front(number, file);
  open_index_[number] = open_.begin();
  if (open_.size() > kMostOpen) {
    open_index_.erase(open_.back().first);
    open_.pop_back();
  }
  return file;
}

bool Packs::has(std::uint64_t number, std::uint64_t end) const {
  const std::shared_lock lock(table_mutex_);
  const auto it = table_.find(number);
  return it != table_.end() && it->second->size >= end;
}

void Packs::forget(std::uint64_t number) {
  {
    const std::lock_guard lock(append_mutex_);
    if (active_ && active_->number == number) close_active();
  }
  {
    const std::lock_guard lock(open_mutex_);
    if (const auto it = open_index_.find(number); it != open_index_.end()) {
      open_.erase(it->second);
      open_index_.erase(it);
    }
  }
  const std::unique_lock lock(table_mutex_);
  if (const auto it = table_.find(number); it != table_.end()) {
    total_bytes_ -= it->second->size;
    table_.erase(it);
  }
}

bool Packs::retire(std::uint64_t number) {
  const std::lock_guard lock(append_mutex_);
  const std::shared_lock table_lock(table_mutex_);
  const auto it = table_.find(number);
  if (it == table_.end() || it->second->holds != 0) return false;
  if (active_ == it->second) close_active();
  return true;
}

Status Packs::remove(std::uint64_t number) {
  forget(number);
  auto removed = env_.remove(path_of(number));
  if (!removed && removed.error().code != ENOENT) return removed;
  return env_.sync_directory(directory_);
}

std::vector<std::uint64_t> Packs::numbers() const {
  const std::shared_lock lock(table_mutex_);
  std::vector<std::uint64_t> out;
  out.reserve(table_.size());
  for (const auto& [number, pack] : table_) out.push_back(number);
  return out;
}

std::uint64_t Packs::count() const {
  const std::shared_lock lock(table_mutex_);
  return table_.size();
}

std::uint64_t Packs::size_of(std::uint64_t number) const {
  const std::shared_lock lock(table_mutex_);
  const auto it = table_.find(number);
  return it == table_.end() ? 0 : it->second->size.load();
}

std::uint64_t Packs::active() const {
  const std::lock_guard lock(append_mutex_);
  return active_ ? active_->number : 0;
}

}  // namespace projfs::chunks
