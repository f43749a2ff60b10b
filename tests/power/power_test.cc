// SPDX-License-Identifier: MIT
//
// Power cuts by the hundred, on a store in a temporary directory whose disk is simulated.
#include <spdlog/spdlog.h>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>

#include "scenario.h"
#include "support/temp_dir.h"

int main(int argc, char** argv) {
  using projfs::power::Scenario;
  std::uint64_t first = 1, seeds = 20, background_every = 8;
  Scenario::Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    const std::uint64_t value = std::stoull(argv[i + 1]);
    if (key == "--first-seed")
      first = value;
    else if (key == "--seeds")
      seeds = value;
    else if (key == "--rounds")
      settings.rounds = static_cast<unsigned>(value);
    else if (key == "--background-every")
      background_every = value;
    else if (key == "--verbose")
      settings.verbose = value != 0;
    else
      argc = 0;
  }
  if (argc % 2 == 0) {
    std::cerr << "usage: power_test [--first-seed N] [--seeds N] [--rounds N] [--background-every "
                 "N] [--verbose 1]\n";
    return 2;
  }
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
