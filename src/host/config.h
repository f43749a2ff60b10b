// SPDX-License-Identifier: MIT
//
// The daemon's configuration: a TOML file of flat keys, each documented in projfs.toml(5). A key
// that is unknown or has a wrong value is refused with file, line and key; nothing is guessed.
#pragma once

#include <cstdint>
#include <string>

#include "projfs/result.h"
#include "projfs/store.h"

namespace projfs {

inline constexpr const char* kDefaultConfig = "/etc/projfs/projfs.toml";
inline constexpr const char* kDefaultSocket = "/run/projfs/admin.sock";

struct Config {
  std::string store = "/var/lib/projfs";
  std::string projects_root = "/projects";
  std::string socket = kDefaultSocket;
  std::string admin_group;         // empty: root alone gives orders
  std::string log_level = "info";  // error, warn, info, debug
  std::uint64_t workers = 16;      // threads that may be inside a request at once
  std::uint64_t spin_us = 50;      // how long they poll after a request before they sleep
  bool resend = true;              // false: as on a kernel that cannot send requests again
  SnapshotPolicy snapshots;        // of projects that have none of their own
  Store::Options engine;
};

// Sets what the file says in `config`. ENOENT: no such file; EINVAL: a sentence with file, line,
// key.
Status load_config(const std::string& path, Config& config);

// What a client connects to: $PROJFS_SOCKET, else the `socket` of the default configuration file if
// that can be read, else kDefaultSocket.
std::string client_socket();

}  // namespace projfs
