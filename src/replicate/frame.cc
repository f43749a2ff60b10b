// SPDX-License-Identifier: MIT
//
// Header: "PJ", u8 frame version (1), u8 type, le32 body length, le32 stream, le64 checksum:
// XXH3-64 of the body, seeded with the XXH3-64 of the first 12 bytes of the header.
#include "replicate/frame.h"

#include <xxhash.h>

#include "projfs/bytes.h"

namespace projfs::replicate {
namespace {

constexpr std::uint16_t kMagic = 0x4a50;  // "PJ"
constexpr std::uint8_t kFrameVersion = 1;
constexpr std::size_t kChecked = 12;

std::uint64_t checksum(std::string_view head, std::string_view body) {
  return XXH3_64bits_withSeed(body.data(), body.size(), XXH3_64bits(head.data(), head.size()));
}

bool before_greeting(std::uint8_t type) {
  return type == type_of(Hello{}) || type == type_of(Refusal{});
}

}  // namespace

std::string encode_frame(const Frame& frame) {
  const auto body = encode(frame.message);
  std::string out;
  out.reserve(kFrameHeader + body.size());
  put_le16(out, kMagic);
  put_u8(out, kFrameVersion);
  put_u8(out, type_of(frame.message));
  put_le32(out, static_cast<std::uint32_t>(body.size()));
  put_le32(out, frame.stream);
  put_le64(out, checksum(out, body));
  out.append(body);
  return out;
}

Result<FrameReader::Header> FrameReader::header() const {
  Reader in(std::string_view(pending_).substr(0, kFrameHeader));
  const auto magic = in.le16();
  const auto version = in.u8();
  Header h;
  h.type = in.u8();
  h.length = in.le32();
  h.stream = in.le32();
  h.checksum = in.le64();
  if (magic != kMagic) return fail(EBADMSG, "what arrives is no frame");
  if (version != kFrameVersion) {
    return fail(EBADMSG, "a frame of version " + std::to_string(version) +
                             " arrives; this program knows version 1");
  }
  if (type_of(Alive{}) < h.type || h.type == 0)
    return fail(EBADMSG, "there is no message of type " + std::to_string(h.type));
  if (!greeted_ && !before_greeting(h.type))
    return fail(EBADMSG, "a message arrives before the greeting");
  if (h.length > most_bytes(h.type)) {
    return fail(EBADMSG, "a message of type " + std::to_string(h.type) + " announces " +
                             std::to_string(h.length) + " bytes, " +
                             std::to_string(most_bytes(h.type)) + " is the most");
  }
  return h;
}

Result<std::optional<Frame>> FrameReader::next() {
  if (failed_) return tl::unexpected<Error>(*failed_);
  auto frame = next_checked();
  if (!frame) {
    failed_ = frame.error();
    pending_ = {};
  }
  return frame;
}

Result<std::optional<Frame>> FrameReader::next_checked() {
  if (pending_.size() < kFrameHeader) return std::optional<Frame>();
  PROJFS_ASSIGN(const auto h, header());
  if (pending_.size() < kFrameHeader + h.length) return std::optional<Frame>();
  const auto all = std::string_view(pending_);
  const auto body = all.substr(kFrameHeader, h.length);
  if (checksum(all.substr(0, kChecked), body) != h.checksum)
    return fail(EBADMSG, "the checksum of a frame is wrong");
  PROJFS_ASSIGN(auto message, decode(h.type, body));
  pending_.erase(0, kFrameHeader + h.length);
  return std::optional<Frame>(Frame{h.stream, std::move(message)});
}

std::size_t FrameReader::missing() const {
  if (failed_) return 0;
  if (pending_.size() < kFrameHeader) return kFrameHeader - pending_.size();
  const auto h = header();
  if (!h) return 0;
  const auto whole = kFrameHeader + h->length;
  return pending_.size() < whole ? whole - pending_.size() : 0;
}

}  // namespace projfs::replicate
