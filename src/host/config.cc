// SPDX-License-Identifier: MIT
#include "host/config.h"

#include <toml++/toml.h>
#include <unistd.h>
#include <array>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>

#include "host/text.h"
#include "snapshot/retention.h"

namespace projfs {
namespace {

// Sets a value, or says in a sentence what is wrong with it.
using Setter = std::function<std::optional<std::string>(Config&, const toml::node&)>;

struct Key {
  std::string_view name;
  Setter set;
};

Setter absolute_path(std::string Config::*member) {
  return [member](Config& config, const toml::node& node) -> std::optional<std::string> {
    const auto text = node.value<std::string>();
    if (!node.is_string() || text->empty() || text->front() != '/')
      return "wants an absolute path in quotes";
    config.*member = *text;
    return std::nullopt;
  };
}

std::optional<std::string> set_group(Config& config, const toml::node& node) {
  if (!node.is_string()) return "wants the name of a group in quotes";
  config.admin_group = *node.value<std::string>();
  return std::nullopt;
}

std::optional<std::string> set_log_level(Config& config, const toml::node& node) {
  const auto text = node.is_string() ? *node.value<std::string>() : std::string();
  for (const auto* known : {"error", "warn", "info", "debug"}) {
    if (text == known) {
      config.log_level = text;
      return std::nullopt;
    }
  }
  return "wants \"error\", \"warn\", \"info\" or \"debug\"";
}

Setter size(std::uint64_t Store::Options::*member, std::uint64_t least) {
  return [member, least](Config& config, const toml::node& node) -> std::optional<std::string> {
    std::uint64_t bytes = 0;
    if (node.is_string()) {
      const auto parsed = parse_size(*node.value<std::string>());
      if (!parsed) return parsed.error().message;
      bytes = *parsed;
    } else if (node.is_integer() && *node.value<std::int64_t>() >= 0) {
      bytes = static_cast<std::uint64_t>(*node.value<std::int64_t>());
    } else {
      return "wants a size, like \"64M\"";
    }
    if (bytes < least) return "wants at least " + format_size(least);
    config.engine.*member = bytes;
    return std::nullopt;
  };
}

std::optional<std::uint64_t> number_in(const toml::node& node, std::uint64_t least,
                                       std::uint64_t most) {
  if (!node.is_integer()) return std::nullopt;
  const auto value = *node.value<std::int64_t>();
  if (value < 0 || static_cast<std::uint64_t>(value) < least ||
      static_cast<std::uint64_t>(value) > most)
    return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

template <class Assign>
Setter number(std::uint64_t least, std::uint64_t most, Assign assign) {
  return [=](Config& config, const toml::node& node) -> std::optional<std::string> {
    const auto value = number_in(node, least, most);
    if (!value) {
      return "wants a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    }
    assign(config, *value);
    return std::nullopt;
  };
}

std::optional<std::string> set_sync_every(Config& config, const toml::node& node) {
  if (!node.is_string()) return "wants a duration in quotes, like \"5s\"; \"0\" turns it off";
  const auto ms = parse_duration_ms(*node.value<std::string>());
  if (!ms) return ms.error().message;
  config.engine.sync_every_ms = *ms;
  return std::nullopt;
}

std::optional<std::string> set_snapshot_every(Config& config, const toml::node& node) {
  if (!node.is_string()) return "wants a duration in quotes, like \"15m\"; \"0\" turns it off";
  const auto ms = parse_duration_ms(*node.value<std::string>());
  if (!ms) return ms.error().message;
  if (*ms % 1000 != 0 || *ms > 366ll * 86'400'000) return "wants whole seconds, up to a year";
  config.snapshots.off = *ms == 0;
  if (*ms != 0) config.snapshots.every_seconds = static_cast<std::uint64_t>(*ms / 1000);
  return std::nullopt;
}

std::optional<std::string> set_snapshot_keep(Config& config, const toml::node& node) {
  if (!node.is_string()) return "wants text in quotes, like \"hourly=24,daily=7\"";
  const auto keep = snapshot::parse_retention(*node.value<std::string>());
  if (!keep) return keep.error().message;
  auto& policy = config.snapshots;
  policy.keep_last = keep->last;
  policy.keep_hourly = keep->hourly;
  policy.keep_daily = keep->daily;
  policy.keep_weekly = keep->weekly;
  policy.keep_monthly = keep->monthly;
  return std::nullopt;
}

std::optional<std::string> set_resend(Config& config, const toml::node& node) {
  if (!node.is_boolean()) return "wants true or false";
  config.resend = *node.value<bool>();
  return std::nullopt;
}

const auto& keys() {
  using Options = Store::Options;
  static const std::array<Key, 19> kKeys = {{
      {"store", absolute_path(&Config::store)},
      {"projects_root", absolute_path(&Config::projects_root)},
      {"socket", absolute_path(&Config::socket)},
      {"admin_group", set_group},
      {"log_level", set_log_level},
      {"block_cache", size(&Options::block_cache_bytes, 1 << 20)},
      {"index_cache", size(&Options::index_cache_bytes, 1 << 20)},
      {"index_buffer", size(&Options::index_buffer_bytes, 4 << 20)},
      {"inode_cache",
       number(256, 100'000'000, [](Config& c, std::uint64_t v) { c.engine.inode_cache = v; })},
      {"stage_bytes", size(&Options::stage_bytes, 64 << 20)},
      {"reserve", size(&Options::reserve_bytes, 0)},
      {"workers", number(1, 256, [](Config& c, std::uint64_t v) { c.workers = v; })},
      {"spin_us", number(0, 10'000, [](Config& c, std::uint64_t v) { c.spin_us = v; })},
      {"compression_level", number(1, 19,
                                   [](Config& c, std::uint64_t v) {
                                     c.engine.compression_level = static_cast<int>(v);
                                   })},
      {"ingest_threads", number(1, 64,
                                [](Config& c, std::uint64_t v) {
                                  c.engine.ingest_threads = static_cast<unsigned>(v);
                                })},
      {"sync_every", set_sync_every},
      {"snapshot_every", set_snapshot_every},
      {"snapshot_keep", set_snapshot_keep},
      {"resend", set_resend},
  }};
  return kKeys;
}

std::string at(const std::string& path, const toml::source_region& region) {
  return path + ":" + std::to_string(region.begin.line) + ": ";
}

}  // namespace

Status load_config(const std::string& path, Config& config) {
  if (access(path.c_str(), R_OK) != 0)
    return fail(errno, "cannot read the configuration file " + path + ": " +
                           std::generic_category().message(errno));
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return fail(EINVAL, at(path, error.source()) + std::string(error.description()));
  }
  for (const auto& [name, node] : table) {
    const Key* key = nullptr;
    for (const auto& known : keys()) {
      if (known.name == name.str()) key = &known;
    }
    const std::string where = at(path, name.source()) + std::string(name.str()) + ": ";
    if (key == nullptr) {
      return fail(EINVAL, where + "unknown key; projfs.toml(5) lists all there are");
    }
    if (const auto wrong = key->set(config, node)) return fail(EINVAL, where + *wrong);
  }
  return {};
}

std::string client_socket() {
  if (const char* chosen = std::getenv("PROJFS_SOCKET"); chosen != nullptr && *chosen != '\0')
    return chosen;
  Config config;
  // A file that is missing or wrong is the daemon's to complain about.
  if (!load_config(kDefaultConfig, config)) return kDefaultSocket;
  return config.socket;
}

}  // namespace projfs
