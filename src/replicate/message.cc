// SPDX-License-Identifier: MIT
#include "replicate/message.h"

#include <algorithm>
#include <array>

#include "projfs/bytes.h"

namespace projfs::replicate {
namespace {

constexpr std::size_t kMostKey = 512;            // inode, kind, hash, name
constexpr std::size_t kMostValue = 3u << 20;     // a map segment of 2^18 extents
constexpr std::uint32_t kMostBlock = 64u << 20;  // no store makes larger ones

// By type, from 1.
constexpr std::array<std::uint32_t, 15> kMostBytes{
    0,          // none
    4u << 10,   // hello
    4u << 10,   // refusal
    4u << 10,   // begin
    4u << 10,   // position
    12u << 20,  // offer
    64u << 10,  // want
    66u << 20,  // chunks
    8u << 20,   // batch
    4u << 10,   // applied
    64,         // end of step
    4u << 20,   // snapshots
    64,         // commit
    64,         // saved
    0,          // alive
};

// Reads what Writer wrote. Whatever exceeds a limit clears ok(), like what is cut short.
class Parser {
 public:
  explicit Parser(std::string_view data) : in_(data) {}

  [[nodiscard]] bool done() const { return ok_ && in_.done(); }
  void check(bool fine) { ok_ = ok_ && fine; }

  std::uint64_t varint() { return in_.varint(); }
  std::int64_t signed_varint() { return in_.signed_varint(); }
  std::uint64_t le64() { return in_.le64(); }
  std::uint32_t u32() {
    const auto v = in_.varint();
    check(v <= UINT32_MAX);
    return static_cast<std::uint32_t>(v);
  }
  std::uint8_t u8() { return in_.u8(); }
  bool flag() {
    const auto v = in_.u8();
    check(v <= 1);
    return v == 1;
  }
  std::string text(std::size_t most) {
    const auto n = in_.varint();
    check(n <= most);
    if (!ok_) return {};
    return std::string(in_.view(n));
  }
  // How many entries follow, each of at least `least` bytes.
  std::size_t count(std::size_t most, std::size_t least) {
    const auto n = in_.varint();
    check(n <= most && n * least <= in_.remaining());
    return ok_ ? n : 0;
  }
  std::string_view view(std::size_t n) { return in_.view(n); }
  std::string rest() { return std::string(in_.rest()); }

 private:
  Reader in_;
  bool ok_ = true;
};

void put_flag(std::string& out, bool v) { put_u8(out, v ? 1 : 0); }
void put_signed(std::string& out, std::int64_t v) { put_varint(out, zigzag(v)); }

void put(std::string& out, const Hello& m) {
  put_varint(out, m.oldest);
  put_varint(out, m.newest);
  put_string(out, m.cluster);
  put_string(out, m.host);
  put_string(out, m.store);
  put_string(out, m.software);
}
void get(Parser& in, Hello& m) {
  m.oldest = in.u32();
  m.newest = in.u32();
  m.cluster = in.text(kMostText);
  m.host = in.text(kMostText);
  m.store = in.text(kMostText);
  m.software = in.text(kMostText);
  in.check(m.oldest <= m.newest);
}

void put(std::string& out, const Refusal& m) {
  put_varint(out, m.code);
  put_string(out, m.why);
}
void get(Parser& in, Refusal& m) {
  m.code = in.u32();
  m.why = in.text(kMostText);
}

void put(std::string& out, const Begin& m) {
  put_string(out, m.id);
  put_signed(out, m.created_ns);
  put_varint(out, m.generation);
  put_varint(out, m.uid);
  put_varint(out, m.gid);
  put_varint(out, m.quota_bytes);
  put_varint(out, m.quota_inodes);
  put_varint(out, m.quota_history);
  put_u8(out, m.dedup);
  put_string(out, m.dedup_key);
  put_le64(out, m.name_seed);
  put_varint(out, m.next_ino);
  put_varint(out, m.next_snapshot);
  put_string(out, m.policy);
}
void get(Parser& in, Begin& m) {
  m.id = in.text(64);
  m.created_ns = in.signed_varint();
  m.generation = in.varint();
  m.uid = in.u32();
  m.gid = in.u32();
  m.quota_bytes = in.varint();
  m.quota_inodes = in.varint();
  m.quota_history = in.varint();
  m.dedup = in.u8();
  m.dedup_key = in.text(64);
  m.name_seed = in.le64();
  m.next_ino = in.varint();
  m.next_snapshot = in.varint();
  m.policy = in.text(256);
}

void put(std::string& out, const Position& m) {
  put_varint(out, m.generation);
  put_varint(out, m.visible);
  put_varint(out, m.applied);
  put_varint(out, m.step);
  put_string(out, m.cursor);
}
void get(Parser& in, Position& m) {
  m.generation = in.varint();
  m.visible = in.varint();
  m.applied = in.varint();
  m.step = in.varint();
  m.cursor = in.text(kMostText);
}

void put(std::string& out, const Offer& m) {
  put_varint(out, m.chunks.size());
  for (const auto& c : m.chunks) {
    put_varint(out, std::uint64_t{c.length} << 1 | (c.keyed ? 1 : 0));
    out.append(as_view(c.hash.bytes));
  }
}
void get(Parser& in, Offer& m) {
  m.chunks.resize(in.count(kMostChunks, 33));
  for (auto& c : m.chunks) {
    const auto v = in.varint();
    in.check(v >> 1 != 0 && v >> 1 <= kMostBlock);
    c.length = static_cast<std::uint32_t>(v >> 1);
    c.keyed = (v & 1) != 0;
    const auto hash = in.view(c.hash.bytes.size());
    std::copy(hash.begin(), hash.end(), c.hash.bytes.begin());
  }
}

void put(std::string& out, const Want& m) {
  put_varint(out, m.wanted.size());
  for (std::size_t i = 0; i < m.wanted.size(); i += 8) {
    std::uint8_t bits = 0;
    for (std::size_t j = i; j < std::min(i + 8, m.wanted.size()); ++j)
      if (m.wanted[j]) bits = static_cast<std::uint8_t>(bits | 1u << (j - i));
    put_u8(out, bits);
  }
}
void get(Parser& in, Want& m) {
  const auto n = in.varint();
  in.check(n <= kMostChunks);
  const auto bytes = in.view(n <= kMostChunks ? (n + 7) / 8 : 0);
  if (bytes.size() * 8 < n) return in.check(false);
  m.wanted.resize(n);
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    const bool bit = (static_cast<unsigned char>(bytes[i / 8]) >> i % 8 & 1) != 0;
    if (i < n) {
      m.wanted[i] = bit;
    } else {
      in.check(!bit);
    }
  }
}

void put(std::string& out, const Chunks& m) {
  put_u8(out, m.block.codec);
  put_varint(out, m.block.raw);
  put_varint(out, m.block.parts.size());
  for (const auto& p : m.block.parts) {
    put_varint(out, p.index);
    put_varint(out, p.offset);
    put_varint(out, p.length);
  }
  out.append(m.block.payload);
}
void get(Parser& in, Chunks& m) {
  m.block.codec = in.u8();
  m.block.raw = in.u32();
  in.check(m.block.raw <= kMostBlock);
  m.block.parts.resize(in.count(kMostChunks, 3));
  for (auto& p : m.block.parts) {
    p.index = in.u32();
    p.offset = in.u32();
    p.length = in.u32();
  }
  m.block.payload = in.rest();
}

void put(std::string& out, const Batch& m) {
  put_varint(out, m.epoch);
  put_string(out, m.cursor);
  put_flag(out, m.exhaustive);
  put_string(out, m.after);
  put_varint(out, m.records.size());
  for (const auto& r : m.records) {
    put_string(out, r.key);
    put_varint(out, r.value ? r.value->size() + 1 : 0);
    if (r.value) out.append(*r.value);
  }
}
void get(Parser& in, Batch& m) {
  m.epoch = in.varint();
  m.cursor = in.text(kMostText);
  m.exhaustive = in.flag();
  m.after = in.text(kMostKey);
  m.records.resize(in.count(kMostRecords, 2));
  for (auto& r : m.records) {
    r.key = in.text(kMostKey);
    const auto n = in.varint();
    in.check(n <= kMostValue);
    if (n != 0 && n <= kMostValue) r.value = std::string(in.view(n - 1));
  }
}

void put(std::string& out, const Applied& m) {
  put_varint(out, m.epoch);
  put_string(out, m.cursor);
}
void get(Parser& in, Applied& m) {
  m.epoch = in.varint();
  m.cursor = in.text(kMostText);
}

void put(std::string& out, const EndStep& m) {
  put_varint(out, m.epoch);
  put_signed(out, m.created_ns);
  put_varint(out, m.logical_bytes);
}
void get(Parser& in, EndStep& m) {
  m.epoch = in.varint();
  m.created_ns = in.signed_varint();
  m.logical_bytes = in.varint();
}

void put(std::string& out, const SnapshotEntries& m) {
  put_varint(out, m.entries.size());
  for (const auto& e : m.entries) {
    put_varint(out, e.epoch);
    put_u8(out, static_cast<std::uint8_t>((e.present ? 1 : 0) | (e.held ? 2 : 0) |
                                          (e.automatic ? 4 : 0)));
    if (!e.present) continue;
    put_string(out, e.name);
    put_varint(out, e.number);
    put_signed(out, e.created_ns);
    put_varint(out, e.logical_bytes);
  }
}
void get(Parser& in, SnapshotEntries& m) {
  m.entries.resize(in.count(kMostSnapshots, 2));
  for (auto& e : m.entries) {
    e.epoch = in.varint();
    const auto flags = in.u8();
    e.present = (flags & 1) != 0;
    e.held = (flags & 2) != 0;
    e.automatic = (flags & 4) != 0;
    in.check(flags < 8 && (e.present || flags == 0));
    if (!e.present) continue;
    e.name = in.text(255);
    e.number = in.varint();
    e.created_ns = in.signed_varint();
    e.logical_bytes = in.varint();
  }
}

void put(std::string& out, const Commit& m) {
  put_varint(out, m.epoch);
  put_flag(out, m.all);
}
void get(Parser& in, Commit& m) {
  m.epoch = in.varint();
  m.all = in.flag();
}

void put(std::string& out, const Saved& m) { put_varint(out, m.epoch); }
void get(Parser& in, Saved& m) { m.epoch = in.varint(); }

void put(std::string&, const Alive&) {}
void get(Parser&, Alive&) {}

// The message of the variant's member `I` or a later one.
template <std::size_t I = 0>
Result<Message> decode_as(std::size_t index, Parser& in) {
  if constexpr (I < std::variant_size_v<Message>) {
    if (index != I) return decode_as<I + 1>(index, in);
    std::variant_alternative_t<I, Message> m;
    get(in, m);
    if (!in.done())
      return fail(EBADMSG, "a message of type " + std::to_string(index + 1) + " is malformed");
    return Message(std::move(m));
  } else {
    return fail(EBADMSG, "there is no message of type " + std::to_string(index + 1));
  }
}

}  // namespace

std::uint8_t type_of(const Message& message) {
  return static_cast<std::uint8_t>(message.index() + 1);
}

std::uint32_t most_bytes(std::uint8_t type) {
  return type < kMostBytes.size() ? kMostBytes.at(type) : 0;
}

std::string encode(const Message& message) {
  std::string out;
  std::visit([&out](const auto& m) { put(out, m); }, message);
  return out;
}

Result<Message> decode(std::uint8_t type, std::string_view body) {
  if (type == 0 || type > std::variant_size_v<Message>)
    return fail(EBADMSG, "there is no message of type " + std::to_string(type));
  if (body.size() > most_bytes(type)) {
    return fail(EBADMSG, "a message of type " + std::to_string(type) + " is too long");
  }
  Parser in(body);
  return decode_as(type - 1u, in);
}

}  // namespace projfs::replicate
