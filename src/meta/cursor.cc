// SPDX-License-Identifier: MIT
#include "meta/cursor.h"

#include "meta/change.h"
#include "meta/lineage.h"

namespace projfs::meta {

// The versions in history that were valid at an epoch, one for each key that has one.
class Cursor::History {
 public:
  History(std::unique_ptr<rocksdb::Iterator> it, Epoch at) : at_(at), it_(std::move(it)) {}

  Status seek(const std::string& begin) {
    it_->Seek(begin);
    return settle();
  }
  Status next() { return settle(); }
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const LiveValue& value() const { return value_; }

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
      value_ = std::move(*old);
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
  std::string key_;
  LiveValue value_;
};

Cursor::~Cursor() = default;

Cursor::Cursor(const View& view, const std::string& begin, std::string end)
    : view_(view), end_(std::move(end)), upper_(end_) {
  while (true) {
    const auto* const base = view.base();
    if (base != nullptr) {
      own_prefix_ = begin.substr(0, 8);
      // The end may be the first key of the next project.
      const auto end_project = end_.starts_with(own_prefix_) ? base->project : base->project + 1;
      base_ = std::make_unique<Cursor>(base->view,
                                       project_prefix(base->project).append(begin.substr(8)),
                                       project_prefix(end_project).append(end_.substr(8)));
    }
    live_ = view.db_->scan(Family::kLive, &upper_, view.instant_);
    live_->Seek(begin);
    if (view.at_ != kHead) {
      old_ = std::make_unique<History>(view.db_->scan(Family::kHistory, &upper_, view.instant_),
                                       view.at_);
      if (auto s = old_->seek(begin); !s) {
        stop(std::move(s));
        return;
      }
    }
    if (view.base() == base) break;
    base_.reset();  // cut meanwhile
  }
  settle();
}

void Cursor::stop(Status status) {
  valid_ = false;
  status_ = std::move(status);
}

void Cursor::next() {
  if (at_live_) live_->Next();
  if (at_old_) {
    if (auto s = old_->next(); !s) return stop(std::move(s));
  }
  if (at_base_) base_->next();
  settle();
}

void Cursor::settle() {
  valid_ = false;
  while (settle_here() && !valid_) {
    if (at_live_) live_->Next();
    if (at_old_) {
      if (auto s = old_->next(); !s) return stop(std::move(s));
    }
    if (at_base_) base_->next();
  }
}

// Looks at the least key that any source has; false: there is none, or something is wrong.
bool Cursor::settle_here() {
  const bool live = live_->Valid();
  const bool old = old_ && old_->valid();
  const bool inherited = base_ && base_->valid();
  at_live_ = at_old_ = at_base_ = false;
  if (!live && !old && !inherited) {
    if (auto s = from_rocksdb(live_->status(), "reading metadata"); !s) {
      stop(std::move(s));
    } else if (base_) {
      status_ = base_->status();
    }
    return false;
  }
  key_ = {};  // no key is empty
  const auto consider = [this](std::string_view key) {
    if (key_.empty() || key < key_) key_ = key;
  };
  if (live) consider(live_->key().ToStringView());
  if (old) consider(old_->key());
  if (inherited) {
    base_key_ = own_prefix_;
    base_key_.append(base_->key().substr(8));
    consider(base_key_);
  }
  at_live_ = live && live_->key().ToStringView() == key_;
  at_old_ = old && old_->key() == key_;
  at_base_ = inherited && base_key_ == key_;
  if (at_live_) {
    auto decoded = decode_live(live_->value().ToStringView());
    if (!decoded) {
      stop(fail(EIO, "a metadata record does not decode"));
      return false;
    }
    valid_ = !decoded->removed() && decoded->born <= view_.at_;
    if (valid_) value_ = std::move(*decoded);
  }
  if (!valid_ && at_old_) {
    value_ = old_->value();
    valid_ = true;
  } else if (!valid_ && !at_live_ && at_base_) {
    value_ = {kInherited, base_->value().payload};
    valid_ = true;
  }
  return true;
}

}  // namespace projfs::meta
