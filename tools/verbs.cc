// SPDX-License-Identifier: MIT
#include "verbs.h"

#include <grp.h>
#include <pwd.h>
#include <cstdio>
#include <filesystem>

#include "host/admin_client.h"
#include "host/admin_service.h"
#include "host/text.h"
#include "print.h"
#include "projfs/store.h"
#include "terminal.h"

namespace projfs {
namespace {

using nlohmann::json;

// A store that no daemon serves, opened by this process. Nothing works in the background: looking
// at a store must not change more of it than opening does.
Result<std::unique_ptr<Store>> open_offline(const std::string& directory) {
  Store::Options options;
  options.background = false;
  auto store = Store::open(std::filesystem::absolute(directory).string(), options);
  if (!store && store.error().code == EBUSY) {
    store.error().message = "a daemon has the store " + directory +
                            " open; leave --store out to ask the daemon (PROJFS_SOCKET says where)";
  }
  return store;
}

Result<std::uint32_t> user_id(const std::string& text, std::uint32_t& group) {
  if (const auto* entry = ::getpwnam(text.c_str()); entry != nullptr) {
    group = entry->pw_gid;
    return entry->pw_uid;
  }
  const auto number = parse_count(text);
  if (!number || *number >= UINT32_MAX)
    return fail(EINVAL, "there is no user '" + text + "'; use a user's name or number");
  const auto uid = static_cast<std::uint32_t>(*number);
  const auto* entry = ::getpwuid(uid);
  group = entry != nullptr ? entry->pw_gid : uid;
  return uid;
}

}  // namespace

int complain(const Call& call, int code, const std::string& what) {
  const std::string verb = call.verb.empty() ? "" : call.verb + ": ";
  std::fprintf(stderr, "projfs-admin: %s%s\n", verb.c_str(), what.c_str());
  return code;
}

void show(const Call& call, const json& document, const Printer& print) {
  const std::string text = call.json
                               ? document.dump(2, ' ', false, json::error_handler_t::replace) + "\n"
                               : print(document);
  std::fputs(text.c_str(), stdout);
}

int ask(const Call& call, const json& request, const Printer& print) {
  ProgressBar bar;
  const auto answer = ask_daemon(
      call.socket, request, [&](double share, const std::string& step) { bar.show(share, step); });
  bar.clear();
  if (!answer) return complain(call, kFailed, answer.error().describe());
  show(call, *answer, print);
  return kDone;
}

int copy(const Call& call, const json& request) {
  ProgressBar bar;
  const auto answer = ask_daemon(
      call.socket, request, [&](double share, const std::string& step) { bar.show(share, step); });
  bar.clear();
  if (!answer) return complain(call, kFailed, answer.error().describe());
  show(call, *answer, print_copy);
  const auto failed = (*answer)["failed"].get<std::uint64_t>();
  if (failed == 0) return kDone;
  return complain(call, kFailed,
                  std::to_string(failed) +
                      " could not be copied, named above; mend that and run "
                      "it again, it goes on where it is");
}

int store_init(const Call& call, const std::string& directory) {
  const auto path = std::filesystem::absolute(directory).lexically_normal().string();
  if (const auto made = Store::init(Env::posix(), path); !made)
    return complain(call, kFailed, made.error().describe());
  show(call, {{"path", path}}, [&](const json&) {
    return "made the store " + path + "; start it with: projfsd --store " + path + "\n";
  });
  return kDone;
}

int store_status(const Call& call, const std::optional<std::string>& store) {
  if (!store) return ask(call, {{"verb", "store.status"}}, print_store_status);
  const auto opened = open_offline(*store);
  if (!opened) return complain(call, kFailed, opened.error().describe());
  const auto status = (*opened)->status();
  if (!status) return complain(call, kFailed, status.error().describe());
  show(call, to_json(*status, 0), print_store_status);
  return kDone;
}

int store_check(const Call& call, const std::optional<std::string>& store, bool data) {
  json report;
  ProgressBar bar;
  const auto progress = [&](double share, const std::string& step) { bar.show(share, step); };
  if (store) {
    const auto opened = open_offline(*store);
    if (!opened) return complain(call, kFailed, opened.error().describe());
    const auto checked = (*opened)->check(data, [&](double share) { progress(share, "checking"); });
    if (!checked) return complain(call, kFailed, checked.error().describe());
    report = to_json(*checked);
  } else {
    auto answer = ask_daemon(call.socket, {{"verb", "store.check"}, {"data", data}}, progress);
    if (!answer && answer.error().code == ECONNREFUSED)
      answer.error().message += " To check a store that no daemon serves, add --store DIR.";
    if (!answer) return complain(call, kFailed, answer.error().describe());
    report = *std::move(answer);
  }
  bar.clear();
  show(call, report, print_check);
  if (report["problems"].empty()) return kDone;
  return complain(call, kFailed,
                  std::to_string(report["problems"].size()) +
                      " problems found; keep the store as it is and restore what they name from "
                      "a backup");
}

Result<Owner> parse_owner(const std::string& text) {
  Owner owner;
  const auto colon = text.find(':');
  PROJFS_ASSIGN(owner.uid, user_id(text.substr(0, colon), owner.gid));
  if (colon == std::string::npos) return owner;
  const auto group = text.substr(colon + 1);
  if (const auto* entry = ::getgrnam(group.c_str()); entry != nullptr) {
    owner.gid = entry->gr_gid;
    return owner;
  }
  const auto number = parse_count(group);
  if (!number || *number >= UINT32_MAX)
    return fail(EINVAL, "there is no group '" + group + "'; use a group's name or number");
  owner.gid = static_cast<std::uint32_t>(*number);
  return owner;
}

}  // namespace projfs
