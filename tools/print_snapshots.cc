// SPDX-License-Identifier: MIT
//
// Snapshots, versions and changes as people read them.
#include <array>

#include "host/text.h"
#include "print.h"

namespace projfs {
namespace {

using nlohmann::json;

std::string size(const json& value) { return format_size(value.get<std::uint64_t>()); }

std::string time(const json& rfc) {
  const auto parsed = parse_rfc3339(rfc.get<std::string>());
  return parsed ? format_time(*parsed, now_ns()) : rfc.get<std::string>();
}

}  // namespace

std::string print_snapshots(const json& snapshots) {
  if (snapshots.empty()) return "no snapshots; 'mkdir .snapshots/NAME' in the project makes one\n";
  Table table({"NAME", "MADE", "SIZE", "FREED IF DELETED", ""});
  for (const auto& s : snapshots) {
    std::string notes;
    if (s.value("held", false)) notes = "held";
    if (s.value("automatic", false)) notes += notes.empty() ? "automatic" : ", automatic";
    table.add({s["name"], time(s["created_at"]), size(s["logical_bytes"]),
               size(s["freed_if_deleted_bytes"]), notes});
  }
  return table.text();
}

std::string print_versions(const json& versions) {
  if (versions.empty()) return "no version, now or in any snapshot\n";
  Table table({"SNAPSHOT", "LAST CHANGED", "SIZE"});
  for (const auto& v : versions) {
    table.add({v["snapshot"].is_null() ? "(now)" : v["snapshot"].get<std::string>(),
               time(v["mtime"]), size(v["size"])});
  }
  return table.text();
}

std::string print_change(const json& change) {
  static constexpr std::array<std::pair<std::string_view, char>, 5> kSigns = {
      {{"added", '+'}, {"removed", '-'}, {"modified", 'M'}, {"renamed", 'R'}, {"metadata", 'm'}}};
  char sign = '?';
  for (const auto& [word, letter] : kSigns)
    if (change["change"] == word) sign = letter;
  std::string out = std::string(1, sign) + " ";
  if (change.contains("old_path")) out += change["old_path"].get<std::string>() + " -> ";
  out += change["path"].get<std::string>();
  if (change.value("type", "") == "directory") out += "/";
  return out + "\n";
}

}  // namespace projfs
