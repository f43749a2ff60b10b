// SPDX-License-Identifier: MIT
#include "meta/live_value.h"

namespace projfs::meta {

std::string encode_live(Epoch born, std::string_view payload) {
  std::string out;
  out.reserve(payload.size() + 2);
  put_varint(out, born);
  out.append(payload);
  return out;
}

std::optional<LiveValue> decode_live(std::string_view data) {
  Reader in(data);
  LiveValue v;
  v.born = in.varint();
  if (!in.ok()) return std::nullopt;
  v.payload = in.rest();
  return v;
}

Result<std::optional<LiveValue>> get_live(const Database& db, std::string_view key) {
  PROJFS_ASSIGN(auto data, db.get(Family::kLive, key));
  if (!data) return std::optional<LiveValue>();
  auto value = decode_live(*data);
  if (!value) return fail(EIO, "a metadata record does not decode");
  if (value->removed()) return std::optional<LiveValue>();
  return value;
}

}  // namespace projfs::meta
