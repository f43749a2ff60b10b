// SPDX-License-Identifier: MIT
// projfs-admin: the operator's command line. See projfs-admin(8).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>

#include "host/config.h"
#include "host/text.h"
#include "operation_commands.h"
#include "print.h"
#include "snapshot_commands.h"
#include "verbs.h"

namespace projfs {
namespace {

using nlohmann::json;

// The command line's options, and what the chosen verb does with them.
class Commands {
 public:
  Commands() : app_("Manages the projects and the store of this host's projfsd.", "projfs-admin") {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.add_flag("--json", call_.json, "Print one JSON document");
    app_.add_option("--socket", call_.socket,
                    "Admin socket of the daemon (default $PROJFS_SOCKET, or as configured)");
    app_.set_version_flag("--version", PROJFS_VERSION);
    add_store();
    add_life_cycle();
    add_mounts();
    add_quota();
    add_copies();
    snapshots_.emplace(app_, call_,
                       [this](CLI::App* verb, Action action) { on(verb, std::move(action)); });
    operations_.emplace(app_, call_,
                        [this](CLI::App* verb, Action action) { on(verb, std::move(action)); });
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app_.exit(error);
      call_.verb = typed_verb(app_);
      if (const auto unknown = unknown_verb(argc, argv); !unknown.empty())
        return complain(call_, kWrongUsage, "there is no verb '" + unknown + "'; see --help");
      return complain(call_, kWrongUsage, std::string(error.what()) + "; see --help");
    }
    call_.verb = typed_verb(app_);
    if (call_.socket.empty()) call_.socket = client_socket();
    return action_();
  }

 private:
  using Action = std::function<int()>;

  void on(CLI::App* verb, Action action) {
    verb->callback([this, chosen = std::move(action)] { action_ = chosen; });
  }
  void takes_id(CLI::App* verb) { verb->add_option("id", id_, "Id of the project")->required(); }

  static std::string typed_verb(const CLI::App& app) {
    std::string verb;
    for (const auto* level = &app; !level->get_subcommands().empty();) {
      level = level->get_subcommands().front();
      verb += (verb.empty() ? "" : " ") + level->get_name();
    }
    return verb;
  }

  // The first word that should be a verb and is none.
  std::string unknown_verb(int argc, char** argv) {
    auto* level = &app_;
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      if (word == "--socket") ++i;
      if (word.starts_with("-")) continue;
      const auto verbs = level->get_subcommands([](CLI::App*) { return true; });
      if (verbs.empty()) return {};
      const auto found = std::find_if(verbs.begin(), verbs.end(),
                                      [&](CLI::App* verb) { return verb->check_name(word); });
      if (found == verbs.end()) return word;
      level = *found;
    }
    return {};
  }

  int usage(const std::string& what) const { return complain(call_, kWrongUsage, what); }

  // Puts a size or "unlimited" into the request; an empty text leaves it out.
  static Status put_limit(json& request, const char* name, const std::string& text, bool bytes) {
    if (text.empty()) return {};
    Result<std::uint64_t> value = kUnlimited;
    if (text != "unlimited") value = bytes ? parse_limit(text) : parse_count(text);
    if (!value) return tl::unexpected(std::move(value).error());
    request[name] = *value == kUnlimited ? json(nullptr) : json(*value);
    return {};
  }
  Status put_limits(json& request) const {
    PROJFS_TRY(put_limit(request, "bytes", bytes_, true));
    PROJFS_TRY(put_limit(request, "inodes", inodes_, false));
    return put_limit(request, "history_bytes", history_, true);
  }

  void add_store() {
    auto* store = app_.add_subcommand("store", "The store as a whole");
    store->require_subcommand(1);
    auto* init = store->add_subcommand("init", "Make a new store in a missing or empty directory");
    init->add_option("directory", directory_, "Directory of the new store")->required();
    on(init, [this] { return store_init(call_, directory_); });

    auto* status = store->add_subcommand("status", "Space, deduplication, compression");
    status->add_option("--store", store_, "Look at this store, which no daemon serves");
    on(status, [this] { return store_status(call_, store_); });

    auto* check = store->add_subcommand("check", "Recompute and compare every counter and record");
    check->add_option("--store", store_, "Check this store, which no daemon serves");
    check->add_flag("--data", data_, "Read and verify all stored data too");
    on(store->add_subcommand("gc", "Pack what is staged, give back the space of what is deleted"),
       [this] {
         return ask(call_, {{"verb", "store.gc"}}, print_store_status);
       });
    on(check, [this] { return store_check(call_, store_, data_); });
  }

  void add_life_cycle() {
    auto* create = app_.add_subcommand("create", "Make a project, and mount it");
    takes_id(create);
    create->add_option("--quota", bytes_, "Most bytes, like 10G (default unlimited)");
    create->add_option("--inodes", inodes_, "Most files and directories (default unlimited)");
    create->add_option("--history-quota", history_, "Most bytes kept for snapshots alone");
    create->add_option("--owner", owner_, "UID[:GID] or USER[:GROUP] of its root (default root)");
    create
        ->add_option("--dedup", dedup_, "Share data with the whole 'store' or within the 'project'")
        ->check(CLI::IsMember({"store", "project"}));
    create->add_flag("--no-mount", no_mount_, "Do not mount it");
    on(create, [this] { return create_project(); });

    auto* destroy = app_.add_subcommand("destroy", "Delete a project and all its data");
    takes_id(destroy);
    destroy->add_flag("--yes", yes_, "Mean it");
    on(destroy, [this] {
      if (!yes_) return usage("this deletes '" + id_ + "' and all its data; add --yes to do it");
      return ask(call_, {{"verb", "destroy"}, {"id", id_}},
                 [this](const json&) { return "destroyed " + id_ + "\n"; });
    });

    on(app_.add_subcommand("list", "All projects"), [this] {
      return ask(call_, {{"verb", "list"}}, print_projects);
    });
    auto* show = app_.add_subcommand("show", "One project");
    takes_id(show);
    on(show, [this] { return ask(call_, {{"verb", "show"}, {"id", id_}}, print_project); });
  }

  int create_project() {
    json request = {{"verb", "create"}, {"id", id_}, {"no_mount", no_mount_}, {"dedup", dedup_}};
    if (const auto put = put_limits(request); !put) return usage(put.error().describe());
    if (!owner_.empty()) {
      const auto owner = parse_owner(owner_);
      if (!owner) return usage("--owner: " + owner.error().describe());
      request["uid"] = owner->uid;
      request["gid"] = owner->gid;
    }
    return ask(call_, request, [](const json& p) {
      const auto& at = p["mountpoint"];
      return "created " + p["id"].get<std::string>() +
             (at.is_null() ? ", not mounted" : ", mounted at " + at.get<std::string>()) + "\n";
    });
  }

  void add_mounts() {
    auto* mount = app_.add_subcommand("mount", "Mount a project");
    takes_id(mount);
    mount->add_option("--at", directory_, "Mount point (default PROJECTS_ROOT/ID)");
    mount->add_flag("--read-only", read_only_, "Refuse every change");
    on(mount, [this] {
      json request = {{"verb", "mount"}, {"id", id_}, {"read_only", read_only_}};
      if (!directory_.empty()) request["mountpoint"] = absolute(directory_);
      return ask(call_, request, [](const json& p) {
        return "mounted " + p["id"].get<std::string>() + " at " +
               p["mountpoint"].get<std::string>() + "\n";
      });
    });

    auto* umount = app_.add_subcommand("umount", "Unmount a project");
    takes_id(umount);
    umount->add_flag("--force", force_,
                     "Also while it is in use: who uses it goes on, others see nothing");
    on(umount, [this] {
      return ask(call_, {{"verb", "umount"}, {"id", id_}, {"force", force_}},
                 [this](const json&) { return "unmounted " + id_ + "\n"; });
    });
  }

  void add_quota() {
    auto* quota = app_.add_subcommand("quota", "Show or change the quota of a project");
    takes_id(quota);
    quota->add_option("--bytes", bytes_, "Most bytes, like 10G, or 'unlimited'");
    quota->add_option("--inodes", inodes_, "Most files and directories, or 'unlimited'");
    quota->add_option("--history", history_, "Most bytes kept for snapshots alone, or 'unlimited'");
    on(quota, [this] {
      json request = {{"verb", "quota"}, {"id", id_}};
      if (const auto put = put_limits(request); !put) return usage(put.error().describe());
      return ask(call_, request, print_quota);
    });
  }

  void add_copies() {
    auto* import = app_.add_subcommand("import", "Copy a directory of this host into a project");
    takes_id(import);
    import->add_option("directory", directory_, "What is in here is copied")->required();
    on(import, [this] {
      return copy(call_, {{"verb", "import"}, {"id", id_}, {"directory", absolute(directory_)}});
    });

    auto* out = app_.add_subcommand("export", "Copy a project into a new or empty directory");
    takes_id(out);
    out->add_option("directory", directory_, "The new or empty directory")->required();
    out->add_flag("--resume", resume_, "Go on with an interrupted export");
    on(out, [this] {
      return copy(call_, {{"verb", "export"},
                          {"id", id_},
                          {"directory", absolute(directory_)},
                          {"resume", resume_}});
    });
  }

  // The daemon has another working directory.
  static std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
  }

  CLI::App app_;
  std::optional<SnapshotCommands> snapshots_;
  std::optional<OperationCommands> operations_;
  Call call_;
  Action action_;
  std::string id_, bytes_, inodes_, history_, owner_, directory_;
  std::string dedup_ = "store";
  std::optional<std::string> store_;
  bool no_mount_ = false, yes_ = false, read_only_ = false, force_ = false;
  bool data_ = false, resume_ = false;
};

}  // namespace
}  // namespace projfs

int main(int argc, char** argv) { return projfs::Commands().run(argc, argv); }
