// SPDX-License-Identifier: MIT
//
// Byte ranges, and the fixed and variable length integers of the on-disk formats.
// Fixed integers in keys are big-endian (so that keys sort by value); in values and file headers
// they are little-endian. Varints are LEB128, at most ten bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace projfs {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

inline Bytes as_bytes(std::string_view s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}
inline std::string_view as_view(Bytes b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

namespace detail {
template <class T>
T to_order(T v, std::endian order) {
  if (order == std::endian::native) return v;
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(v);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(v);
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(v);
  return v;
}
template <class T>
void put(std::string& out, T v, std::endian order) {
  v = to_order(v, order);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}
}  // namespace detail

inline void put_u8(std::string& out, std::uint8_t v) { out.push_back(static_cast<char>(v)); }
inline void put_be32(std::string& out, std::uint32_t v) { detail::put(out, v, std::endian::big); }
inline void put_be64(std::string& out, std::uint64_t v) { detail::put(out, v, std::endian::big); }
inline void put_le16(std::string& out, std::uint16_t v) {
  detail::put(out, v, std::endian::little);
}
inline void put_le32(std::string& out, std::uint32_t v) {
  detail::put(out, v, std::endian::little);
}
inline void put_le64(std::string& out, std::uint64_t v) {
  detail::put(out, v, std::endian::little);
}

inline void put_varint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}
inline std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
inline std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}
inline void put_string(std::string& out, std::string_view s) {
  put_varint(out, s.size());
  out.append(s);
}

// Reads what the put_* functions wrote. A read past the end, or a malformed varint, yields zero or
// an empty view and clears ok(): decode everything, then look once.
class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}
  explicit Reader(Bytes data) : data_(as_view(data)) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool empty() const { return data_.empty(); }
  [[nodiscard]] bool done() const { return ok_ && data_.empty(); }
  [[nodiscard]] std::size_t remaining() const { return data_.size(); }

  std::uint8_t u8() { return fixed<std::uint8_t>(std::endian::native); }
  std::uint32_t be32() { return fixed<std::uint32_t>(std::endian::big); }
  std::uint64_t be64() { return fixed<std::uint64_t>(std::endian::big); }
  std::uint16_t le16() { return fixed<std::uint16_t>(std::endian::little); }
  std::uint32_t le32() { return fixed<std::uint32_t>(std::endian::little); }
  std::uint64_t le64() { return fixed<std::uint64_t>(std::endian::little); }

  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (data_.empty()) break;
      const auto b = static_cast<std::uint8_t>(data_.front());
      data_.remove_prefix(1);
      if (shift == 63 && b > 1) break;
      v |= static_cast<std::uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    return bad<std::uint64_t>();
  }
  std::int64_t signed_varint() { return unzigzag(varint()); }

  std::string_view view(std::size_t n) {
    if (n > data_.size()) return bad<std::string_view>();
    const auto v = data_.substr(0, n);
    data_.remove_prefix(n);
    return v;
  }
  std::string_view string() { return view(varint()); }
  std::string_view rest() { return view(data_.size()); }

 private:
  template <class T>
  T bad() {
    ok_ = false;
    data_ = {};
    return T{};
  }
  template <class T>
  T fixed(std::endian order) {
    if (data_.size() < sizeof(T)) return bad<T>();
    T v;
    std::memcpy(&v, data_.data(), sizeof v);
    data_.remove_prefix(sizeof v);
    return detail::to_order(v, order);
  }

  std::string_view data_;
  bool ok_ = true;
};

}  // namespace projfs
