// SPDX-License-Identifier: MIT
#include "fuse/kept_mount.h"

#include <sys/random.h>
#include <nlohmann/json.hpp>

namespace projfs::fuse {
namespace {

constexpr int kFormat = 1;
constexpr std::uint64_t kConnectionBits = (std::uint64_t{1} << 48) - 1;

std::string to_hex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

std::string from_hex(const std::string& text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  return out;
}

}  // namespace

std::string KeptMount::encode() const {
  const nlohmann::json json = {{"format", kFormat},
                               {"connection", connection},
                               {"project", id},
                               {"mountpoint", to_hex(mountpoint)},
                               {"device", device},
                               {"read_only", flags.read_only},
                               {"suid", flags.allow_suid},
                               {"dev", flags.allow_devices},
                               {"init", to_hex(init)},
                               {"granted", granted}};
  return json.dump() + "\n";
}

Result<KeptMount> KeptMount::decode(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  try {
    if (json.is_discarded() || json.at("format") != kFormat)
      return fail(EPROTO, "what is known of the mount is of another version");
    KeptMount out;
    out.connection = json.at("connection").get<std::uint64_t>();
    out.id = json.at("project").get<std::string>();
    out.mountpoint = from_hex(json.at("mountpoint").get<std::string>());
    out.device = json.at("device").get<Device>();
    out.flags.read_only = json.at("read_only").get<bool>();
    out.flags.allow_suid = json.at("suid").get<bool>();
    out.flags.allow_devices = json.at("dev").get<bool>();
    out.init = from_hex(json.at("init").get<std::string>());
    out.granted = json.at("granted").get<std::uint64_t>();
    return out;
  } catch (const nlohmann::json::exception&) {
    return fail(EIO, "what is known of the mount is damaged");
  }
}

std::uint64_t random_connection() {
  std::uint64_t number = 0;
  while (number == 0) {
    if (::getrandom(&number, sizeof number, 0) != sizeof number) number = 0;
    number &= kConnectionBits;
  }
  return number;
}

std::string connection_name(std::uint64_t connection) {
  static constexpr char kDigits[] =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  std::string out(8, '0');
  for (std::size_t i = out.size(); i-- > 0; connection >>= 6) out[i] = kDigits[connection & 63];
  return out;
}

}  // namespace projfs::fuse
