// SPDX-License-Identifier: MIT
//
// Power cuts by the hundred, on a store in a temporary directory whose disk is simulated.
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>

#include "scenario.h"
#include "support/temp_dir.h"

int main(int argc, char** argv) {
  using projfs::power::Scenario;
  std::uint64_t first = 1, seeds = 20, background_every = 4;
  Scenario::Settings settings;
  CLI::App app("Power cuts on a store whose disk is simulated.");
  app.add_option("--first-seed", first);
  app.add_option("--seeds", seeds);
  app.add_option("--rounds", settings.rounds, "power cuts of a seed");
  app.add_option("--background-every", background_every,
                 "seeds whose store works on its own too; 0: none");
  app.add_option("--verbose", settings.verbose);
  CLI11_PARSE(app, argc, argv);
  // Power cuts make the engine complain, rightly.
  if (!settings.verbose) spdlog::set_level(spdlog::level::off);
  std::uint64_t failed = 0, operations = 0, files = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const projfs::testing::TempDir dir;
    settings.seed = seed;
    settings.background = background_every && seed % background_every == 0;
    Scenario scenario(dir.path(), settings);
    const std::string problem = scenario.run();
    operations += scenario.operations_done();
    files += scenario.files_compared();
    if (problem.empty()) continue;
    ++failed;
    std::cout << "seed " << seed << (settings.background ? " (with background work)" : "") << ": "
              << problem << std::endl;
  }
  std::cout << seeds << " seeds of " << settings.rounds << " power cuts, " << operations
            << " operations, " << files << " files compared, " << failed << " failed" << std::endl;
  return failed || operations < seeds ? 1 : 0;
}
