// SPDX-License-Identifier: MIT
// The verbs about the store as a whole, and the figures of the daemon.
#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "host/process_memory.h"
#include "host/text.h"
#include "projfs/log.h"

#ifndef PROJFS_VERSION
#define PROJFS_VERSION "unknown"
#endif

namespace projfs {

using nlohmann::json;

json to_json(const StoreStatus& s, std::uint64_t mounts) {
  return {{"uuid", s.uuid},
          {"path", s.path},
          {"logical_bytes", s.logical_bytes},
          {"unique_bytes", s.unique_bytes},
          {"stored_bytes", s.stored_bytes},
          {"chunks", s.chunks},
          {"packs", s.packs},
          {"dedup_ratio", s.dedup_ratio},
          {"compression_ratio", s.compression_ratio},
          {"free_bytes", s.free_bytes},
          {"reserve_bytes", s.reserve_bytes},
          {"projects", s.projects},
          {"mounts", mounts},
          {"staged_bytes", s.staged_bytes},
          {"stage_disk_bytes", s.stage_disk_bytes}};
}

json to_json(const CheckReport& report) {
  return {{"clean", report.problems.empty()}, {"projects", report.projects},
          {"inodes", report.inodes},          {"entries", report.entries},
          {"extents", report.extents},        {"chunks", report.chunks},
          {"problems", report.problems}};
}

Result<json> AdminService::store_status(Arguments& arguments, const AdminPeer& /*peer*/,
                                        const AdminProgress& /*progress*/) {
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto status, store_.status());
  return to_json(status, mounts_.count());
}

Result<json> AdminService::store_check(Arguments& arguments, const AdminPeer& /*peer*/,
                                       const AdminProgress& progress) {
  const bool data = arguments.flag("data");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto report, store_.check(data, [&](double share) {
    progress(share, data ? "checking records and data" : "checking records");
  }));
  for (const auto& problem : report.problems) log::error("store check: {}", problem);
  return to_json(report);
}

Result<json> AdminService::store_gc(Arguments& arguments, const AdminPeer& /*peer*/,
                                    const AdminProgress& progress) {
  PROJFS_TRY(arguments.done());
  progress(0, "ingesting what is staged");
  PROJFS_TRY(store_.ingest_all());
  progress(0.5, "giving back what nothing refers to");
  PROJFS_TRY(store_.collect_garbage());
  PROJFS_ASSIGN(const auto status, store_.status());
  return to_json(status, mounts_.count());
}

Result<json> AdminService::stats(Arguments& arguments, const AdminPeer& /*peer*/,
                                 const AdminProgress& /*progress*/) {
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto status, store_.status());
  const auto s = store_.stats();
  auto mounts = json::array();
  for (const auto& m : mounter_.figures()) {
    mounts.push_back({{"id", m.id},
                      {"mountpoint", m.mountpoint},
                      {"requests", m.requests},
                      {"bytes_read", m.bytes_read},
                      {"bytes_written", m.bytes_written},
                      {"errors", m.errors}});
  }
  const auto& pauses = s.snapshot_pauses;
  const auto memory = process_memory();
  return json{{"version", PROJFS_VERSION},
              {"pid", ::getpid()},
              {"uptime_seconds", (now_ns() - started_ns_) / 1'000'000'000},
              {"memory",
               {{"resident_bytes", memory.resident_bytes},
                {"peak_resident_bytes", memory.peak_bytes},
                {"index_bytes", status.memory_index_bytes}}},
              {"store",
               {{"ingested_bytes", s.ingested_bytes},
                {"new_chunk_bytes", s.new_chunk_bytes},
                {"pack_bytes_written", s.pack_bytes_written},
                {"ingest_rounds", s.ingest_rounds},
                {"syncs", s.syncs},
                {"writes_throttled", s.writes_throttled},
                {"refused_quota", s.refused_quota},
                {"refused_space", s.refused_space},
                {"damaged_reads", s.damaged_reads},
                {"inodes_cached", s.inodes_cached},
                {"overlay_extents", s.overlay_extents},
                {"records_written", s.records_written},
                {"staged_bytes", status.staged_bytes},
                {"stage_disk_bytes", status.stage_disk_bytes}}},
              {"snapshot_pauses",
               {{"count", pauses.count},
                {"p50_ns", pauses.p50_ns},
                {"p99_ns", pauses.p99_ns},
                {"max_ns", pauses.max_ns}}},
              {"mounts", std::move(mounts)}};
}

}  // namespace projfs
