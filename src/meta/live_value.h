// SPDX-License-Identifier: MIT
//
// A value in the live and history families: the epoch in which this version was born, then the
// payload. In live, a single zero byte is a *tombstone*: the record is removed, and the base of the
// project has one of the same key, which must not show (lineage.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "meta/keys.h"
#include "projfs/database.h"

namespace projfs::meta {

struct LiveValue {
  Epoch born = 0;
  std::string payload;
  [[nodiscard]] bool removed() const { return born == 0; }  // a tombstone
};
inline constexpr std::string_view kTombstone{"\0", 1};

[[nodiscard]] std::string encode_live(Epoch born, std::string_view payload);
[[nodiscard]] std::optional<LiveValue> decode_live(std::string_view data);
// What the project itself has in live; nullopt: nothing, or a tombstone.
[[nodiscard]] Result<std::optional<LiveValue>> get_live(const Database& db, std::string_view key);

}  // namespace projfs::meta
