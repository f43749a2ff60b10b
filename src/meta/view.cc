// SPDX-License-Identifier: MIT
//
// Live is always read before history: a version that moves from the one to the other meanwhile is
// then seen twice, never not at all.
#include "meta/view.h"

#include "meta/change.h"
#include "meta/cursor.h"
#include "meta/lineage.h"

namespace projfs::meta {
namespace {

std::string rebased(ProjectNo project, std::string_view key) {
  return project_prefix(project).append(key.substr(8));
}

}  // namespace

const Base* View::base() const { return lineage_ ? lineage_->base() : nullptr; }

Result<View::Own> View::own(std::string_view key) const {
  Own found;
  PROJFS_ASSIGN(const auto data, db_->get(Family::kLive, key, instant_));
  if (data) {
    auto live = decode_live(*data);
    if (!live) return fail(EIO, "a metadata record does not decode");
    found.in_live = true;
    if (!live->removed() && live->born <= at_) {
      found.value = std::move(*live);
      return found;
    }
  }
  if (at_ == kHead) return found;
  const auto it = db_->scan(Family::kHistory, nullptr, instant_);
  it->Seek(history_key(key, at_));
  if (it->Valid() && it->key().size() == key.size() + 8 &&
      it->key().starts_with(rocksdb::Slice(key.data(), key.size()))) {
    auto old = decode_live(it->value().ToStringView());
    if (!old) return fail(EIO, "a history record does not decode");
    if (old->born <= at_) found.value = std::move(*old);
    return found;
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
  return found;
}

Result<std::optional<LiveValue>> View::find(std::string_view key) const {
  const auto* const base = this->base();
  PROJFS_ASSIGN(auto mine, own(key));
  if (base == nullptr || mine.in_live || mine.value) return std::move(mine.value);
  PROJFS_ASSIGN(auto theirs, base->view.get(rebased(base->project, key)));
  if (theirs && this->base() == base)
    return std::optional(LiveValue{kInherited, std::move(*theirs)});
  // It may have been copied since we looked, and the base's be gone.
  PROJFS_ASSIGN(mine, own(key));
  return std::move(mine.value);
}

Result<std::optional<std::string>> View::get(std::string_view key) const {
  PROJFS_ASSIGN(auto found, find(key));
  if (!found) return std::optional<std::string>();
  return std::optional(std::move(found->payload));
}

Result<bool> View::base_has(std::string_view key) const {
  const auto* const base = this->base();
  ParsedKey parsed;
  if (base == nullptr || (parse_key(key, parsed) && parsed.ino >= base->first_own)) return false;
  PROJFS_ASSIGN(const auto theirs, base->view.find(rebased(base->project, key)));
  return theirs.has_value();
}

Status View::scan(const std::string& begin, const std::string& end, const Visitor& visit) const {
  Cursor at(*this, begin, end);
  for (; at.valid(); at.next()) {
    PROJFS_ASSIGN(const bool more, visit(at.key(), at.value().payload));
    if (!more) return {};
  }
  return at.status();
}

}  // namespace projfs::meta
