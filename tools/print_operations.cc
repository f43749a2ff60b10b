// SPDX-License-Identifier: MIT
//
// States of projects as people read them.
#include "host/text.h"
#include "print.h"

namespace projfs {
namespace {

using nlohmann::json;

std::string time(const json& rfc) {
  if (rfc.is_null()) return "unknown";
  const auto parsed = parse_rfc3339(rfc.get<std::string>());
  return parsed ? format_time(*parsed, now_ns()) : rfc.get<std::string>();
}

}  // namespace

std::string print_state(const json& s) {
  std::string out = s["state"].get<std::string>() + " since " + time(s["since"]) + "\n";
  if (!s["step"].is_null()) {
    out += s["step"].get<std::string>();
    if (!s["progress"].is_null())
      out += ", " + std::to_string(static_cast<int>(s["progress"].get<double>() * 100)) + "%";
    out += "\n";
  }
  if (!s["error"].is_null()) out += s["error"].get<std::string>() + "\n";
  return out;
}

}  // namespace projfs
