// SPDX-License-Identifier: MIT
#include "snapshot/changed_keys.h"

#include <algorithm>

#include "meta/change.h"

namespace projfs::snapshot {
namespace {

constexpr std::size_t kKeysInMemory = 32768;
constexpr std::size_t kLeastPiece = 4, kMostPiece = 1024;
constexpr std::size_t kHead = 16;  // project, epoch

}  // namespace

struct ChangedKeys::Later {
  const std::vector<List>& lists;
  bool operator()(std::size_t a, std::size_t b) const {
    return lists[b].keys[lists[b].at] < lists[a].keys[lists[a].at];
  }
};

ChangedKeys::ChangedKeys(const Database& db, const rocksdb::Snapshot* at, meta::ProjectNo project,
                         meta::Epoch after, meta::Epoch upto, const std::vector<std::string>& more)
    : project_(project),
      after_(after),
      upto_(upto),
      more_(more),
      end_(meta::change_key(project, upto + 1, meta::project_prefix(0))),
      upper_(end_),
      it_(db.scan(Family::kChanges, &upper_, at)) {}

Status ChangedKeys::begin() {
  PROJFS_TRY(find_lists());
  piece_ =
      std::clamp(kKeysInMemory / std::max<std::size_t>(lists_.size(), 1), kLeastPiece, kMostPiece);
  for (std::size_t i = 0; i < lists_.size(); ++i) {
    PROJFS_TRY(fill(lists_[i]));
    if (!lists_[i].keys.empty()) heap_.push_back(i);
  }
  std::make_heap(heap_.begin(), heap_.end(), Later{lists_});
  return {};
}

// One seek for each epoch that has a list, none for the others.
Status ChangedKeys::find_lists() {
  for (meta::Epoch from = after_ + 1; from <= upto_;) {
    it_->Seek(meta::change_key(project_, from, meta::project_prefix(0)));
    if (!it_->Valid()) break;
    const auto key = it_->key().ToStringView();
    if (key.size() < kHead) return fail(EIO, "a list of changes does not decode");
    lists_.push_back({Reader(key.substr(8)).be64(), {}, 0, false});
    from = lists_.back().epoch + 1;
  }
  return from_rocksdb(it_->status(), "reading a list of changes");
}

Status ChangedKeys::fill(List& list) {
  if (list.at < list.keys.size() || list.all_read) return {};
  const auto last = list.keys.empty() ? std::string() : std::move(list.keys.back());
  list.keys.clear();
  list.at = 0;
  it_->Seek(
      meta::change_key(project_, list.epoch, last.empty() ? meta::project_prefix(0) : last + '\0'));
  for (; list.keys.size() < piece_; it_->Next()) {
    if (!it_->Valid()) break;
    const auto key = it_->key().ToStringView();
    if (key.size() < kHead + meta::kKeyHead - 8)
      return fail(EIO, "a list of changes does not decode");
    if (Reader(key.substr(8)).be64() != list.epoch) break;
    list.keys.push_back(meta::project_prefix(project_).append(key.substr(kHead)));
  }
  list.all_read = list.keys.size() < piece_;
  return from_rocksdb(it_->status(), "reading a list of changes");
}

Result<std::optional<std::string>> ChangedKeys::next() {
  std::optional<std::string> least;
  if (next_more_ < more_.size()) least = more_[next_more_];
  if (!heap_.empty()) {
    const auto& list = lists_[heap_.front()];
    if (!least || list.keys[list.at] < *least) least = list.keys[list.at];
  }
  if (!least) return least;
  while (next_more_ < more_.size() && more_[next_more_] == *least) ++next_more_;
  while (!heap_.empty()) {
    const auto front = heap_.front();
    auto& list = lists_[front];
    if (list.keys[list.at] != *least) break;
    std::pop_heap(heap_.begin(), heap_.end(), Later{lists_});
    heap_.pop_back();
    ++list.at;
    PROJFS_TRY(fill(list));
    if (list.at == list.keys.size()) continue;
    heap_.push_back(front);
    std::push_heap(heap_.begin(), heap_.end(), Later{lists_});
  }
  return least;
}

}  // namespace projfs::snapshot
