// SPDX-License-Identifier: MIT
#include "host/life_state.h"

#include <array>
#include <initializer_list>

namespace projfs {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"stopped",  "starting", "running", "restarting",
                                                    "stopping", "saving",   "error"};

constexpr unsigned bit(LifeState state) { return 1U << static_cast<unsigned>(state); }
constexpr unsigned set(std::initializer_list<LifeState> states) {
  unsigned bits = 0;
  for (const auto state : states) bits |= bit(state);
  return bits;
}

using enum LifeState;
constexpr std::array<unsigned, 7> kNext = {
    set({kStarting, kRestarting, kSaving, kError}),                                // stopped
    set({kRunning, kError}),                                                       // starting
    set({kStopped, kRestarting, kStopping, kSaving, kError}),                      // running
    set({kStopped, kRunning, kError}),                                             // restarting
    set({kStopped, kRunning, kSaving, kError}),                                    // stopping
    set({kStopped, kRunning, kError}),                                             // saving
    set({kStopped, kStarting, kRunning, kRestarting, kStopping, kSaving, kError})  // error
};

}  // namespace

bool may_follow(LifeState from, LifeState to) {
  return (kNext[static_cast<std::size_t>(from)] & bit(to)) != 0;
}

std::string_view name_of(LifeState state) { return kNames[static_cast<std::size_t>(state)]; }

std::optional<LifeState> life_state(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<LifeState>(i);
  }
  return std::nullopt;
}

}  // namespace projfs
