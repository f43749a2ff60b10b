// SPDX-License-Identifier: MIT
// projfsd: the daemon that serves every mount of a host from one store. See projfsd(8).
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "daemon.h"
#include "exit_status.h"
#include "projfs/log.h"

namespace {

using projfs::kFailed;
using projfs::kWrongUsage;

struct Flags {
  std::string config;
  std::optional<std::string> store, projects_root, socket, listen;
  bool foreground = false;
};

int complain(int code, const std::string& what) {
  std::fprintf(stderr, "projfsd: %s\n", what.c_str());
  return code;
}

// The journal knows the time, and takes the level from "<N>" (sd-daemon(3)).
class JournalLevel final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    static constexpr std::string_view kLevels[] = {"<7>", "<7>", "<6>", "<4>", "<3>", "<2>", "<6>"};
    const auto level = kLevels[static_cast<std::size_t>(message.level)];
    out.append(level.data(), level.data() + level.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalLevel>();
  }
};

void start_logging(const std::string& level) {
  auto logger = spdlog::stderr_logger_mt("projfsd");
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  auto format = std::make_unique<spdlog::pattern_formatter>();
  if (std::getenv("JOURNAL_STREAM") != nullptr) {
    format->add_flag<JournalLevel>('*').set_pattern("%*%v");
  } else {
    format->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  }
  logger->set_formatter(std::move(format));
  spdlog::set_default_logger(std::move(logger));
}

projfs::Result<projfs::Config> configure(const Flags& flags) {
  projfs::Config config;
  const bool chosen = !flags.config.empty();
  const std::string path = chosen ? flags.config : projfs::kDefaultConfig;
  auto loaded = projfs::load_config(path, config);
  if (!loaded && (chosen || loaded.error().code != ENOENT))
    return tl::unexpected(std::move(loaded).error());
  const auto override_with = [](std::string& key, const std::optional<std::string>& flag) {
    if (flag) key = *flag;
  };
  override_with(config.store, flags.store);
  override_with(config.projects_root, flags.projects_root);
  override_with(config.socket, flags.socket);
  for (auto* path_of : {&config.store, &config.projects_root}) {
    while (path_of->size() > 1 && path_of->back() == '/') path_of->pop_back();
  }
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Serves the projects of a store as FUSE mounts, until SIGTERM or SIGINT.",
               "projfsd");
  app.add_option("--config", flags.config,
                 std::string("Configuration file (default ") + projfs::kDefaultConfig + ")");
  app.add_option("--store", flags.store, "Directory of the store (default /var/lib/projfs)");
  app.add_option("--projects-root", flags.projects_root,
                 "Where projects are mounted (default /projects)");
  app.add_option("--socket", flags.socket,
                 std::string("Admin socket (default ") + projfs::kDefaultSocket + ")");
  app.add_option("--listen", flags.listen, "Not in this version: it has no replication");
  app.add_flag("--foreground", flags.foreground, "Stay in the foreground, which it does anyway");
  app.set_version_flag("--version", PROJFS_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return complain(kWrongUsage, std::string(error.what()) + "; 'projfsd --help' shows the usage");
  }
  if (flags.listen) {
    return complain(kWrongUsage, "--listen: this version has no replication; leave the option out");
  }
  for (const auto& [name, path] :
       {std::pair("--store", flags.store), std::pair("--projects-root", flags.projects_root),
        std::pair("--socket", flags.socket)}) {
    if (path && !path->starts_with('/'))
      return complain(kWrongUsage, std::string(name) + ": " + *path + " is not an absolute path");
  }

  const auto config = configure(flags);
  if (!config) return complain(kFailed, config.error().describe());
  start_logging(config->log_level);
  const auto ended = projfs::run_daemon(*config, [&flags] { return configure(flags); });
  if (!ended) return complain(kFailed, ended.error().describe());
  return *ended == projfs::Ended::kToStartAgain ? projfs::kRestartMe : 0;
}
