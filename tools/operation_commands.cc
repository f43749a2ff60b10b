// SPDX-License-Identifier: MIT
#include "operation_commands.h"

#include "print.h"

namespace projfs {

using nlohmann::json;

OperationCommands::OperationCommands(CLI::App& app, const Call& call, const On& on) : call_(call) {
  add_lifecycle(app, on);
  on(app.add_subcommand("stats", "What the daemon has done, its memory, its mounts"), [this] {
    return ask(call_, {{"verb", "stats"}}, print_stats);
  });
}

CLI::App* OperationCommands::add_about_project(CLI::App& app, const char* verb, const char* help) {
  auto* added = app.add_subcommand(verb, help);
  added->add_option("id", id_, "Id of the project")->required();
  return added;
}

void OperationCommands::add_lifecycle(CLI::App& app, const On& on) {
  on(add_about_project(app, "start", "Check and mount a project, unless it is running"), [this] {
    return ask(call_, request("start"), [](const json& p) {
      return p["id"].get<std::string>() + " runs at " + p["mountpoint"].get<std::string>() + "\n";
    });
  });

  auto* stop = add_about_project(app, "stop", "Unmount a project, with a final snapshot");
  stop->add_flag("--force", force_,
                 "Also while it is in use: who uses it goes on, others see nothing");
  stop->add_flag("--no-save", no_save_, "Without a final snapshot");
  on(stop, [this] {
    auto ask_for = request("stop");
    ask_for["force"] = force_;
    ask_for["no_save"] = no_save_;
    return ask(call_, ask_for, [this](const json&) { return "stopped " + id_ + "\n"; });
  });

  on(add_about_project(app, "state", "What a project is doing, since when, and what is wrong"),
     [this] { return ask(call_, request("state"), print_state); });

  on(add_about_project(app, "save", "Make a snapshot if anything changed since the last"), [this] {
    return ask(call_, request("save"), [this](const json& saved) {
      if (saved["snapshot"].is_null()) return id_ + ": nothing changed since the last snapshot\n";
      return id_ + ": saved as " + saved["snapshot"].get<std::string>() + "\n";
    });
  });
}

}  // namespace projfs
