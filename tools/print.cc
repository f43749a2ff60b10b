// SPDX-License-Identifier: MIT
#include "print.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "host/text.h"
#include "projfs/store.h"

namespace projfs {
namespace {

using nlohmann::json;
using Lines = std::vector<std::pair<std::string, std::string>>;

std::string aligned(const Lines& lines) {
  std::size_t width = 0;
  for (const auto& [name, value] : lines) width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : lines)
    out += name + std::string(width - name.size() + 2, ' ') + value + "\n";
  return out;
}

std::string size(const json& value) { return format_size(value.get<std::uint64_t>()); }
std::string number(const json& value) { return std::to_string(value.get<std::uint64_t>()); }

std::string of(const std::string& used, const json& limit, bool bytes) {
  if (limit.is_null()) return used + ", no limit";
  return used + " of " + (bytes ? size(limit) : number(limit));
}

std::string ratio(const json& value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.2f", value.get<double>());
  return out;
}

std::string or_dash(const json& text) { return text.is_null() ? "-" : text.get<std::string>(); }

void add_quota(Lines& lines, const json& project) {
  const auto& quota = project["quota"];
  const auto& usage = project["usage"];
  lines.emplace_back("bytes", of(size(usage["bytes"]), quota["bytes"], true));
  lines.emplace_back("inodes", of(number(usage["inodes"]), quota["inodes"], false));
  lines.emplace_back("history", of(size(usage["history_bytes"]), quota["history_bytes"], true));
}

}  // namespace

std::string print_project(const json& p) {
  Lines lines;
  lines.emplace_back("id", p["id"]);
  lines.emplace_back("state", p["state"]);
  lines.emplace_back("mountpoint", or_dash(p["mountpoint"]));
  lines.emplace_back("role",
                     p["role"].get<std::string>() + ", generation " + number(p["generation"]));
  const auto created = parse_rfc3339(p["created_at"].get<std::string>());
  lines.emplace_back("created", created ? format_time(*created, now_ns()) : "?");
  lines.emplace_back("owner", number(p["owner"]["uid"]) + ":" + number(p["owner"]["gid"]));
  add_quota(lines, p);
  lines.emplace_back("staged", size(p["staged_bytes"]) + ", waiting to be deduplicated and packed");
  lines.emplace_back("snapshots", number(p["snapshots"]));
  const auto skipped = p.find("snapshots_skipped");
  if (skipped != p.end() && skipped->is_string())
    lines.emplace_back("skipped", "automatic snapshots: " + skipped->get<std::string>());
  return aligned(lines);
}

std::string print_projects(const json& projects) {
  if (projects.empty()) return "no projects; 'projfs-admin create ID' makes one\n";
  Table table({"ID", "STATE", "USED", "QUOTA", "INODES", "SNAPSHOTS", "MOUNTPOINT"});
  for (const auto& p : projects) {
    const auto& quota = p["quota"]["bytes"];
    table.add({p["id"], p["state"], size(p["usage"]["bytes"]), quota.is_null() ? "-" : size(quota),
               number(p["usage"]["inodes"]), number(p["snapshots"]), or_dash(p["mountpoint"])});
  }
  return table.text();
}

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string print_quota(const json& quota) {
  Lines lines;
  lines.emplace_back("id", quota["id"]);
  add_quota(lines, quota);
  return aligned(lines);
}

std::string print_store_status(const json& s) {
  Lines lines;
  lines.emplace_back("store", s["path"]);
  lines.emplace_back("uuid", s["uuid"]);
  lines.emplace_back("projects", number(s["projects"]) + ", " + number(s["mounts"]) + " mounted");
  lines.emplace_back("logical", size(s["logical_bytes"]) + ", what the projects reference");
  lines.emplace_back(
      "unique", size(s["unique_bytes"]) + ", deduplication " + ratio(s["dedup_ratio"]) + " to 1");
  lines.emplace_back("stored", size(s["stored_bytes"]) + " on disk, compression " +
                                   ratio(s["compression_ratio"]) + " to 1");
  lines.emplace_back("staged", size(s["staged_bytes"]) + ", waiting to be deduplicated and packed");
  lines.emplace_back("chunks", number(s["chunks"]) + " in " + number(s["packs"]) + " packs");
  lines.emplace_back("free", size(s["free_bytes"]) + ", of which " + size(s["reserve_bytes"]) +
                                 " are held in reserve");
  return aligned(lines);
}

std::string print_check(const json& report) {
  std::string out = "checked " + number(report["projects"]) + " projects, " +
                    number(report["inodes"]) + " inodes, " + number(report["entries"]) +
                    " names, " + number(report["extents"]) + " extents, " +
                    number(report["chunks"]) + " chunks: ";
  const auto& problems = report["problems"];
  if (problems.empty()) return out + "no problems\n";
  out += std::to_string(problems.size()) + " problem" + (problems.size() == 1 ? "" : "s") + "\n";
  for (const auto& problem : problems) out += "  " + problem.get<std::string>() + "\n";
  return out;
}

std::string print_copy(const json& o) {
  std::string out = "copied " + number(o["files"]) + " files (" + size(o["bytes"]) + "), " +
                    number(o["directories"]) + " directories, " + number(o["others"]) +
                    " links and special files; " + number(o["unchanged"]) +
                    " were there already; took " +
                    format_seconds(static_cast<std::uint64_t>(o["seconds"].get<double>())) + "\n";
  const auto failed = o["failed"].get<std::uint64_t>();
  if (failed == 0) return out;
  for (const auto& problem : o["problems"]) out += "  " + problem.get<std::string>() + "\n";
  if (failed > o["problems"].size())
    out += "  and " + std::to_string(failed - o["problems"].size()) + " more\n";
  return out;
}

std::string print_stats(const json& s) {
  Lines lines;
  lines.emplace_back("daemon", "projfsd " + s["version"].get<std::string>() + ", process " +
                                   number(s["pid"]) + ", up " +
                                   format_seconds(s["uptime_seconds"].get<std::uint64_t>()));
  lines.emplace_back("memory", size(s["memory"]["resident_bytes"]) + " resident, at most " +
                                   size(s["memory"]["peak_resident_bytes"]) + "; index " +
                                   size(s["memory"]["index_bytes"]));
  const auto& e = s["store"];
  lines.emplace_back("ingested", size(e["ingested_bytes"]) + " in " + number(e["ingest_rounds"]) +
                                     " rounds; new " + size(e["new_chunk_bytes"]) + ", written " +
                                     size(e["pack_bytes_written"]));
  lines.emplace_back("staged", size(e["staged_bytes"]) + " in " + size(e["stage_disk_bytes"]) +
                                   " of segments, " + number(e["overlay_extents"]) + " extents");
  lines.emplace_back("syncs",
                     number(e["syncs"]) + "; writes throttled " + number(e["writes_throttled"]));
  lines.emplace_back("refused", number(e["refused_quota"]) + " writes by quota, " +
                                    number(e["refused_space"]) + " for lack of disk space");
  lines.emplace_back("damaged", number(e["damaged_reads"]) + " reads");
  lines.emplace_back("cached", number(e["inodes_cached"]) + " inodes");
  const auto& pauses = s["snapshot_pauses"];
  const auto ms = [](const json& ns) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f ms", ns.get<double>() / 1e6);
    return std::string(text.data());
  };
  lines.emplace_back("snapshots", number(pauses["count"]) + " made; writers waited " +
                                      ms(pauses["p50_ns"]) + " (median), " + ms(pauses["p99_ns"]) +
                                      " (99 %), " + ms(pauses["max_ns"]) + " (longest)");
  std::string out = aligned(lines);
  for (const auto& m : s["mounts"]) {
    out += m["id"].get<std::string>() + " at " + m["mountpoint"].get<std::string>() + ": " +
           number(m["requests"]) + " requests, " + size(m["bytes_read"]) + " read, " +
           size(m["bytes_written"]) + " written, " + number(m["errors"]) + " errors\n";
  }
  return out;
}

}  // namespace projfs
