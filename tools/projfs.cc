// SPDX-License-Identifier: MIT
// projfs: what the users of a project do with it. See projfs(1).
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "inside.h"
#include "print.h"
#include "restore.h"
#include "terminal.h"
#include "verbs.h"

namespace projfs {
namespace {

using nlohmann::json;

volatile std::sig_atomic_t interrupted = 0;

class Commands {
 public:
  Commands() : app_("Looks at the project that you are in, and brings files back.", "projfs") {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.add_flag("--json", json_, "Print one JSON document");
    app_.set_version_flag("--version", PROJFS_VERSION);

    on(app_.add_subcommand("status", "The project, its quota and its use"),
       [this] { return answer(status_at("."), print_project); });
    on(app_.add_subcommand("snapshots", "The snapshots of the directory you are in"),
       [this] { return answer(snapshots(), print_snapshots); });

    auto* versions = app_.add_subcommand("versions", "Every version of a file that a snapshot has");
    versions->add_option("path", path_, "File or directory, also one that is gone")->required();
    on(versions, [this] { return answer(versions_of_path(), print_versions); });

    auto* back = app_.add_subcommand("restore", "Bring a file or directory back from a snapshot");
    back->add_option("path", path_, "File or directory, also one that is gone")->required();
    back->add_option("--from", snapshot_, "Name of the snapshot")->required();
    back->add_option("--to", target_, "Where to (default: where it was)");
    back->add_flag("--replace", replace_, "Replace a directory that is there as a whole");
    on(back, [this] { return bring_back(); });
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app_.exit(error);
      const auto chosen = app_.get_subcommands();
      if (!chosen.empty()) verb_ = chosen.front()->get_name();
      return complain(kWrongUsage, std::string(error.what()) + "; see --help");
    }
    verb_ = app_.get_subcommands().front()->get_name();
    return action_();
  }

 private:
  void on(CLI::App* verb, std::function<int()> action) {
    verb->callback([this, chosen = std::move(action)] { action_ = chosen; });
  }

  int complain(int code, const std::string& what) const {
    const std::string verb = verb_.empty() ? "" : verb_ + ": ";
    std::fprintf(stderr, "projfs: %s%s\n", verb.c_str(), what.c_str());
    return code;
  }

  int answer(const Result<json>& document, const Printer& print) const {
    if (!document) return complain(kFailed, document.error().describe());
    show({.verb = verb_, .socket = {}, .json = json_}, *document, print);
    return kDone;
  }

  static Result<json> snapshots() {
    PROJFS_TRY(status_at("."));
    PROJFS_ASSIGN(const auto names, snapshot_names("."));
    auto all = json::array();
    for (const auto& name : names) {
      auto one = snapshot_at(".", name);
      if (one) {
        all.push_back(*std::move(one));
      } else if (one.error().code != ENOENT && one.error().code != ESTALE) {
        return tl::unexpected(std::move(one).error());
      }
    }
    return all;
  }

  Result<json> versions_of_path() const {
    PROJFS_ASSIGN(const auto place, find_place(path_));
    PROJFS_ASSIGN(auto versions, versions_of(place));
    if (versions.empty())
      return fail(ENOENT, path_ + " is not there, and is in no snapshot; see 'projfs snapshots'");
    return versions;
  }

  int bring_back() {
    const auto place = find_place(path_);
    if (!place) return complain(kFailed, place.error().describe());
    if (snapshot_.empty() || snapshot_.find('/') != std::string::npos || snapshot_ == "." ||
        snapshot_ == "..")
      return complain(kWrongUsage, "'" + snapshot_ + "' is no name of a snapshot");
    std::error_code ignored;
    if (!std::filesystem::exists(place->directory + "/.snapshots/" + snapshot_, ignored)) {
      return complain(kFailed, "there is no snapshot '" + snapshot_ + "' of " + place->directory +
                                   "; 'projfs snapshots' lists those there are");
    }
    const auto from = place->in(snapshot_);
    if (std::filesystem::symlink_status(from, ignored).type() ==
        std::filesystem::file_type::not_found) {
      return complain(kFailed, path_ + " is not in the snapshot '" + snapshot_ +
                                   "'; 'projfs versions' shows which ones have it");
    }
    std::string to = target_.empty() ? place->now() : target_;
    while (to.size() > 1 && to.back() == '/') to.pop_back();
    if (!target_.empty() && std::filesystem::is_directory(to, ignored))
      to += "/" + std::filesystem::path(place->rest).filename().string();
    const auto parent = std::filesystem::path(to).parent_path();
    if (!parent.empty() && !std::filesystem::is_directory(parent, ignored)) {
      return complain(kFailed, "the directory " + parent.string() + " is not there any more; " +
                                   "restore it instead, or give another place with --to");
    }

    // Nothing is left half done: what was written so far is removed.
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
      std::signal(signal, [](int) { interrupted = 1; });
    ProgressBar bar;
    RestoreOptions options;
    options.replace = replace_;
    options.stop = [] { return interrupted != 0; };
    const auto done = restore(from, to, options);
    bar.clear();
    if (!done) return complain(kFailed, done.error().describe());
    const json document = {{"path", to},
                           {"snapshot", snapshot_},
                           {"files", done->files},
                           {"directories", done->directories},
                           {"others", done->others},
                           {"bytes", done->bytes},
                           {"not_kept", done->not_kept}};
    show({.verb = verb_, .socket = {}, .json = json_}, document, [](const json& d) {
      return "restored " + d["path"].get<std::string>() + " from " +
             d["snapshot"].get<std::string>() + "\n";
    });
    if (done->not_kept > 0) {
      std::fprintf(stderr,
                   "projfs: restore: you may not set the owner or some attribute of %llu of them; "
                   "they have yours\n",
                   static_cast<unsigned long long>(done->not_kept));
    }
    return kDone;
  }

  CLI::App app_;
  std::function<int()> action_;
  std::string verb_, path_, snapshot_, target_;
  bool json_ = false, replace_ = false;
};

}  // namespace
}  // namespace projfs

int main(int argc, char** argv) { return projfs::Commands().run(argc, argv); }
