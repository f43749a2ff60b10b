// SPDX-License-Identifier: MIT
//
// The states of a project on this host, and which may follow which.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace projfs {

enum class LifeState : std::uint8_t {
  kStopped,     // not mounted, and not meant to be
  kStarting,    // an operator asked for it; nothing serves it yet
  kRunning,     // mounted
  kRestarting,  // was running when the daemon ended, and comes back
  kStopping,    // being unmounted
  kSaving,      // its snapshot is being made
  kError,       // should run and does not, or could not be looked after: `error` says why
};

// Valid transitions, row by row; any other is refused.
//
//   from \ to     stopped starting running restarting stopping saving error
//   stopped          -       x        -        x         -        x     x
//   starting         -       -        x        -         -        -     x
//   running          x       -        -        x         x        x     x
//   restarting       x       -        x        -         -        -     x
//   stopping         x       -        x        -         -        x     x
//   saving           x       -        x        -         -        -     x
//   error            x       x        x        x         x        x     x
[[nodiscard]] bool may_follow(LifeState from, LifeState to);

// Whether somebody is at work on the project: nobody else may begin anything before that ends.
[[nodiscard]] constexpr bool is_passing(LifeState state) {
  return state == LifeState::kStarting || state == LifeState::kRestarting ||
         state == LifeState::kStopping || state == LifeState::kSaving;
}

// As the command line and JSON write it.
[[nodiscard]] std::string_view name_of(LifeState state);
[[nodiscard]] std::optional<LifeState> life_state(std::string_view name);

}  // namespace projfs
