// SPDX-License-Identifier: MIT
//
// Live is always read before history: a version that moves from the one to the other meanwhile is
// then seen twice, never not at all.
#include "meta/view.h"

#include "meta/change.h"

namespace projfs::meta {
namespace {

// Walks the versions in history that were valid at an epoch, one for each key that has one.
class HistoryCursor {
 public:
  HistoryCursor(const Database& db, Epoch at, const rocksdb::Slice* upper,
                const rocksdb::Snapshot* frozen)
      : at_(at), it_(db.scan(Family::kHistory, upper, frozen)) {}

  Status seek(const std::string& begin) {
    it_->Seek(begin);
    return settle();
  }
  Status next() { return settle(); }
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const std::string& payload() const { return payload_; }

 private:
  // Takes the next key's version and leaves the iterator behind all versions of that key.
  Status settle() {
    valid_ = false;
    while (!valid_ && it_->Valid()) {
      const auto raw = it_->key().ToStringView();
      if (raw.size() <= 8) return fail(EIO, "a history key does not decode");
      if (Reader(raw.substr(raw.size() - 8)).be64() < at_) {
        const auto wanted = history_key(raw.substr(0, raw.size() - 8), at_);
        it_->Seek(wanted);
        continue;
      }
      key_ = raw.substr(0, raw.size() - 8);
      auto old = decode_live(it_->value().ToStringView());
      if (!old) return fail(EIO, "a history record does not decode");
      valid_ = old->born <= at_;
      payload_ = std::move(old->payload);
      skip_key();
    }
    return from_rocksdb(it_->status(), "reading history");
  }
  // Mostly one step; a record that changed in every epoch since is passed in one seek.
  void skip_key() {
    for (int steps = 0; it_->Valid(); ++steps) {
      const auto raw = it_->key();
      if (raw.size() != key_.size() + 8 || !raw.starts_with(key_)) return;
      if (steps < 4) {
        it_->Next();
      } else {
        it_->Seek(history_key(key_, ~Epoch{0}));
        if (it_->Valid() && it_->key().starts_with(key_)) it_->Next();
        return;
      }
    }
  }

  const Epoch at_;
  std::unique_ptr<rocksdb::Iterator> it_;
  bool valid_ = false;
  std::string key_, payload_;
};

}  // namespace

Result<std::optional<std::string>> View::get(std::string_view key) const {
  PROJFS_ASSIGN(auto live, get_live(db_, key, frozen_));
  if (live && live->born <= at_) return std::optional<std::string>(std::move(live->payload));
  const auto it = db_.scan(Family::kHistory, nullptr, frozen_);
  it->Seek(history_key(key, at_));
  if (it->Valid() && it->key().size() == key.size() + 8 &&
      it->key().starts_with(rocksdb::Slice(key.data(), key.size()))) {
    auto old = decode_live(it->value().ToStringView());
    if (!old) return fail(EIO, "a history record does not decode");
    if (old->born > at_) return std::optional<std::string>();
    return std::optional<std::string>(std::move(old->payload));
  }
  PROJFS_TRY(from_rocksdb(it->status(), "reading history"));
  return std::optional<std::string>();
}

Status View::scan(const std::string& begin, const std::string& end, const Visitor& visit) const {
  const rocksdb::Slice upper(end);
  const auto live = db_.scan(Family::kLive, &upper, frozen_);
  live->Seek(begin);
  HistoryCursor old(db_, at_, &upper, frozen_);
  PROJFS_TRY(old.seek(begin));
  while (true) {
    std::optional<LiveValue> present;
    for (; live->Valid(); live->Next()) {
      present = decode_live(live->value().ToStringView());
      if (!present) return fail(EIO, "a metadata record does not decode");
      if (present->born <= at_) break;
      present.reset();
      if (old.valid() && live->key().compare(old.key()) > 0) break;
    }
    PROJFS_TRY(from_rocksdb(live->status(), "reading a snapshot"));
    if (!present && !old.valid()) {
      if (!live->Valid()) return {};
      continue;
    }
    const int order = !present ? 1 : !old.valid() ? -1 : live->key().compare(old.key());
    if (order <= 0) {
      PROJFS_ASSIGN(const bool more, visit(live->key().ToStringView(), present->payload));
      if (!more) return {};
      live->Next();
      if (order == 0) PROJFS_TRY(old.next());
    } else {
      PROJFS_ASSIGN(const bool more, visit(old.key(), old.payload()));
      if (!more) return {};
      PROJFS_TRY(old.next());
    }
  }
}

}  // namespace projfs::meta
