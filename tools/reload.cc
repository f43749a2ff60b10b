// SPDX-License-Identifier: MIT
#include "reload.h"

namespace projfs {

std::vector<std::string> needs_restart(const Config& running, const Config& wanted) {
  std::vector<std::string> keys;
  const auto compare = [&](const char* key, const auto& a, const auto& b) {
    if (!(a == b)) keys.emplace_back(key);
  };
  const auto &e = running.engine, &w = wanted.engine;
  compare("store", running.store, wanted.store);
  compare("projects_root", running.projects_root, wanted.projects_root);
  compare("socket", running.socket, wanted.socket);
  compare("admin_group", running.admin_group, wanted.admin_group);
  compare("block_cache", e.block_cache_bytes, w.block_cache_bytes);
  compare("index_cache", e.index_cache_bytes, w.index_cache_bytes);
  compare("index_buffer", e.index_buffer_bytes, w.index_buffer_bytes);
  compare("inode_cache", e.inode_cache, w.inode_cache);
  compare("stage_bytes", e.stage_bytes, w.stage_bytes);
  compare("reserve", e.reserve_bytes, w.reserve_bytes);
  compare("workers", running.workers, wanted.workers);
  compare("spin_us", running.spin_us, wanted.spin_us);
  compare("compression_level", e.compression_level, w.compression_level);
  compare("ingest_threads", e.ingest_threads, w.ingest_threads);
  compare("sync_every", e.sync_every_ms, w.sync_every_ms);
  compare("resend", running.resend, wanted.resend);
  return keys;
}

}  // namespace projfs
