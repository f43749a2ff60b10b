// SPDX-License-Identifier: MIT
#include "meta/project_record.h"

namespace projfs::meta {

std::string ProjectRecord::encode() const {
  std::string out;
  put_varint(out, 1);  // version of this record
  put_string(out, id);
  put_varint(out, static_cast<std::uint64_t>(created_ns));
  put_varint(out, generation);
  put_varint(out, epoch);
  put_varint(out, last_snapshot);
  put_varint(out, uid);
  put_varint(out, gid);
  put_u8(out, static_cast<std::uint8_t>(dedup));
  put_varint(out, quota.bytes);
  put_varint(out, quota.inodes);
  put_varint(out, quota.history_bytes);
  put_le64(out, name_seed);
  put_string(out, dedup_key);
  return out;
}

std::optional<ProjectRecord> ProjectRecord::decode(std::string_view data) {
  Reader in(data);
  ProjectRecord r;
  if (in.varint() != 1) return std::nullopt;
  r.id = in.string();
  r.created_ns = static_cast<std::int64_t>(in.varint());
  r.generation = in.varint();
  r.epoch = in.varint();
  r.last_snapshot = in.varint();
  r.uid = static_cast<std::uint32_t>(in.varint());
  r.gid = static_cast<std::uint32_t>(in.varint());
  r.dedup = static_cast<DedupMode>(in.u8());
  r.quota.bytes = in.varint();
  r.quota.inodes = in.varint();
  r.quota.history_bytes = in.varint();
  r.name_seed = in.le64();
  r.dedup_key = in.string();
  if (!in.done()) return std::nullopt;
  return r;
}

}  // namespace projfs::meta
