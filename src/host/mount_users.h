// SPDX-License-Identifier: MIT
//
// Which processes keep a mount busy: through an open file, a mapped one, their working directory,
// their root or their program.
#pragma once

#include <sys/types.h>
#include <string>
#include <string_view>
#include <vector>

namespace projfs {

struct MountUser {
  pid_t pid = 0;
  std::string command;  // its name, as ps shows it
  std::string user;     // whose it is: a name, or the number of one that has none
};

// By process id, the daemon's own left out. Asks the kernel only, never the file system itself. A
// process that comes or goes meanwhile may be missing; of those the daemon may not look into,
// nothing is known.
std::vector<MountUser> users_of_mount(const std::string& mountpoint);

// How the sentence begins that says of a mount that it has users.
inline constexpr std::string_view kInUse = "it is in use";

// "1234 vim (alice), 1240 bash (alice)"; of many the first few and their number.
std::string describe(const std::vector<MountUser>& users);

}  // namespace projfs
