// SPDX-License-Identifier: MIT
//
// What projfs-admin does once its command line has been understood.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "projfs/result.h"

namespace projfs {

// Exit codes of the contract.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

struct Call {
  std::string verb;  // as typed: "store status"
  std::string socket;
  bool json = false;
};

using Printer = std::function<std::string(const nlohmann::json&)>;

// "projfs-admin: <verb>: <what>" on stderr; returns `code`.
int complain(const Call& call, int code, const std::string& what);
// The document, or what `print` makes of it, on stdout.
void show(const Call& call, const nlohmann::json& document, const Printer& print);

// Asks the daemon, with a progress bar, and prints the answer.
int ask(const Call& call, const nlohmann::json& request, const Printer& print);
// import and export: also fails when some entries could not be copied.
int copy(const Call& call, const nlohmann::json& request);
// Without a daemon if `store` says which one, else by the daemon.
int store_status(const Call& call, const std::optional<std::string>& store);
int store_check(const Call& call, const std::optional<std::string>& store, bool data);
int store_init(const Call& call, const std::string& directory);

// "UID[:GID]", numbers or names. Without GID: the user's primary group, or for a number that no
// user has, the same number. EINVAL with a sentence.
struct Owner {
  std::uint32_t uid = 0, gid = 0;
};
Result<Owner> parse_owner(const std::string& text);

}  // namespace projfs
