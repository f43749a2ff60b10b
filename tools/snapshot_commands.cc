// SPDX-License-Identifier: MIT
#include "snapshot_commands.h"

#include <fcntl.h>
#include <unistd.h>
#include <cstdio>

#include "host/admin_client.h"
#include "host/descriptor.h"
#include "print.h"
#include "terminal.h"

namespace projfs {
namespace {

using nlohmann::json;

// What programs have changed in mapped files is in the kernel only. This has to come from outside:
// the daemon can't wait for the kernel while the kernel waits for it.
void flush_mapped_pages(const Call& call, const std::string& id) {
  const auto shown = ask_daemon(call.socket, {{"verb", "show"}, {"id", id}}, {});
  if (!shown || !(*shown)["mountpoint"].is_string()) return;  // the verb itself will say why
  const auto path = (*shown)["mountpoint"].get<std::string>();
  const Descriptor root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::syncfs(root.get()) != 0) {
    std::fprintf(stderr,
                 "projfs-admin: %s: %s: cannot flush mapped files first (%s); what programs "
                 "have mapped and changed may be missing\n",
                 call.verb.c_str(), id.c_str(), std::generic_category().message(errno).c_str());
  }
}

std::string sentence(const json& s, const std::string& what) {
  return what + " " + s["name"].get<std::string>() + "\n";
}

std::string print_policy(const json& p) {
  const auto id = p["id"].get<std::string>();
  if (p["off"].get<bool>()) return id + ": snapshots are made by hand only\n";
  const auto seconds = p["every_seconds"].get<std::uint64_t>();
  const auto every = seconds % 3600 == 0 ? std::to_string(seconds / 3600) + "h"
                     : seconds % 60 == 0 ? std::to_string(seconds / 60) + "m"
                                         : std::to_string(seconds) + "s";
  return id + ": a snapshot every " + every + " if something changed, of which are kept " +
         p["keep"].get<std::string>() + (p["default"].get<bool>() ? " (the default)\n" : "\n");
}

std::string print_pruned(const json& p) {
  const bool dry = p["dry_run"].get<bool>();
  std::string out;
  for (const auto& name : p["deleted"])
    out += (dry ? "would delete " : "deleted ") + name.get<std::string>() + "\n";
  if (out.empty()) out = "nothing to prune\n";
  return out;
}

}  // namespace

SnapshotCommands::SnapshotCommands(CLI::App& app, const Call& call, const On& on) : call_(call) {
  auto* snapshot = app.add_subcommand("snapshot", "The snapshots of a project");
  snapshot->require_subcommand(1);
  add_changes(*snapshot, on);
  add_policy(*snapshot, on);

  auto* versions = app.add_subcommand("versions", "Every version of a file that a snapshot has");
  versions->add_option("id", id_, "Id of the project")->required();
  versions->add_option("path", path_, "Path inside the project")->required();
  on(versions, [this] {
    json ask_for = request("versions");
    ask_for["path"] = path_;
    return ask(call_, ask_for, print_versions);
  });

  auto* copy = app.add_subcommand("clone", "Make a project that begins as a copy of another");
  copy->add_option("source", id_, "SRC or SRC@SNAPSHOT")->required();
  copy->add_option("new", new_id_, "Id of the new project")->required();
  copy->add_flag("--no-mount", no_mount_, "Do not mount it");
  on(copy, [this] { return clone(); });
}

json SnapshotCommands::request(const char* verb) const { return {{"verb", verb}, {"id", id_}}; }

CLI::App* SnapshotCommands::add(CLI::App& snapshot, const char* verb, const char* help) {
  auto* added = snapshot.add_subcommand(verb, help);
  added->add_option("id", id_, "Id of the project")->required();
  return added;
}

CLI::App* SnapshotCommands::add_named(CLI::App& snapshot, const char* verb, const char* help) {
  auto* added = add(snapshot, verb, help);
  added->add_option("name", name_, "Name of the snapshot")->required();
  return added;
}

void SnapshotCommands::add_changes(CLI::App& snapshot, const On& on) {
  auto* made = add(snapshot, "create", "Make a snapshot");
  made->add_option("name", new_name_, "Its name (default: the time, in UTC)");
  on(made, [this] { return create(); });

  on(add(snapshot, "list", "All snapshots, oldest first"),
     [this] { return ask(call_, request("snapshot.list"), print_snapshots); });

  on(add_named(snapshot, "delete", "Delete a snapshot"), [this] {
    json ask_for = request("snapshot.delete");
    ask_for["name"] = name_;
    return ask(call_, ask_for, [](const json& s) { return sentence(s, "deleted"); });
  });

  auto* renamed = add_named(snapshot, "rename", "Give a snapshot another name");
  renamed->add_option("new-name", other_, "Its new name")->required();
  on(renamed, [this] {
    json ask_for = request("snapshot.rename");
    ask_for["name"] = name_;
    ask_for["new_name"] = other_;
    return ask(call_, ask_for, [](const json& s) { return sentence(s, "renamed to"); });
  });

  on(add_named(snapshot, "hold", "Refuse to delete a snapshot until it is released"), [this] {
    json ask_for = request("snapshot.hold");
    ask_for["name"] = name_;
    return ask(call_, ask_for, [](const json& s) { return sentence(s, "holding"); });
  });
  on(add_named(snapshot, "release", "Let a held snapshot be deleted again"), [this] {
    json ask_for = request("snapshot.release");
    ask_for["name"] = name_;
    return ask(call_, ask_for, [](const json& s) { return sentence(s, "released"); });
  });

  auto* compared = add_named(snapshot, "diff", "What changed between two snapshots, or since one");
  compared->add_option("other", other_, "The later snapshot (default: the project as it is now)");
  on(compared, [this] { return diff(); });

  on(add_named(snapshot, "rollback", "Make the project what it was; what it is becomes a snapshot"),
     [this] { return rollback(); });
}

void SnapshotCommands::add_policy(CLI::App& snapshot, const On& on) {
  auto* shown = add(snapshot, "policy", "Show or change when snapshots are made by themselves");
  shown->add_option("--every", every_, "How often, if something changed, like 15m or 1h");
  shown->add_option("--keep", keep_,
                    "How many stay, like last=4,hourly=24,daily=7,weekly=8,monthly=6");
  shown->add_flag("--off", off_, "Make none");
  on(shown, [this] { return policy(); });

  auto* pruned = add(snapshot, "prune", "Delete the automatic snapshots that the policy drops");
  pruned->add_flag("--dry-run", dry_run_, "Only say which");
  on(pruned, [this] {
    json ask_for = request("snapshot.prune");
    ask_for["dry_run"] = dry_run_;
    return ask(call_, ask_for, print_pruned);
  });
}

int SnapshotCommands::create() {
  flush_mapped_pages(call_, id_);
  json ask_for = request("snapshot.create");
  if (new_name_) ask_for["name"] = *new_name_;
  return ask(call_, ask_for, [](const json& s) { return sentence(s, "made the snapshot"); });
}

// Item by item: a diff may have millions.
int SnapshotCommands::diff() {
  if (other_.empty()) flush_mapped_pages(call_, id_);
  json ask_for = request("snapshot.diff");
  ask_for["from"] = name_;
  if (!other_.empty()) ask_for["to"] = other_;
  ask_for["stream"] = true;
  ProgressBar bar;
  bool first = true;
  const auto answer = ask_daemon(
      call_.socket, ask_for, [&](double share, const std::string& step) { bar.show(share, step); },
      [&](const json& change) {
        bar.clear();
        if (call_.json) {
          const auto text = change.dump(-1, ' ', false, json::error_handler_t::replace);
          std::fputs(((first ? "[\n" : ",\n") + text).c_str(), stdout);
        } else {
          std::fputs(print_change(change).c_str(), stdout);
        }
        first = false;
      });
  bar.clear();
  if (!answer) return complain(call_, kFailed, answer.error().describe());
  if (call_.json) std::fputs(first ? "[]\n" : "\n]\n", stdout);
  return kDone;
}

int SnapshotCommands::rollback() {
  flush_mapped_pages(call_, id_);
  json ask_for = request("snapshot.rollback");
  ask_for["name"] = name_;
  return ask(call_, ask_for, [this](const json& s) {
    return id_ + " is now what it was in " + name_ + "; what it was until now is the snapshot " +
           s["kept_as"].get<std::string>() + "\n";
  });
}

int SnapshotCommands::policy() {
  json ask_for = request("snapshot.policy");
  if (!keep_.empty()) ask_for["keep"] = keep_;
  if (!every_.empty()) ask_for["every"] = every_;
  if (off_) ask_for["off"] = true;
  return ask(call_, ask_for, print_policy);
}

int SnapshotCommands::clone() {
  const auto at = id_.find('@');
  json ask_for = {{"verb", "clone"}, {"id", new_id_}, {"source", id_.substr(0, at)}};
  if (at != std::string::npos) {
    ask_for["snapshot"] = id_.substr(at + 1);
  } else {
    flush_mapped_pages(call_, id_);
  }
  ask_for["no_mount"] = no_mount_;
  return ask(call_, ask_for, [](const json& p) {
    const auto& mounted = p["mountpoint"];
    return "made " + p["id"].get<std::string>() +
           (mounted.is_null() ? ", not mounted" : ", mounted at " + mounted.get<std::string>()) +
           "\n";
  });
}

}  // namespace projfs
