// SPDX-License-Identifier: MIT
//
// Walks the records of a View in the order of their keys. What it shows is from the moment in which
// it was made.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "meta/view.h"

namespace projfs::meta {

class Cursor {
 public:
  // At the first record of [begin, end). REQUIRES: the view outlives it.
  Cursor(const View& view, const std::string& begin, std::string end);
  ~Cursor();
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // False: at the end, or something is wrong: ask status().
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] const Status& status() const { return status_; }
  // Until next(). Inherited records have the key and the epoch they have in the clone.
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] const LiveValue& value() const { return value_; }
  void next();

 private:
  class History;

  void settle();
  bool settle_here();
  void stop(Status status);

  const View& view_;
  const std::string end_;
  const rocksdb::Slice upper_;
  std::string own_prefix_;
  // Made in this order, so that what moves from one to the next is seen at least once.
  std::unique_ptr<Cursor> base_;
  std::unique_ptr<rocksdb::Iterator> live_;
  std::unique_ptr<History> old_;
  std::string base_key_;                                     // that of base_, as the clone's
  bool at_live_ = false, at_old_ = false, at_base_ = false;  // have a version of key_

  bool valid_ = false;
  Status status_;
  std::string_view key_;
  LiveValue value_;
};

}  // namespace projfs::meta
