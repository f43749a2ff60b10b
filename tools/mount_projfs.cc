// SPDX-License-Identifier: MIT
// mount.projfs: what mount(8) runs for `mount -t projfs ID DIR`. See mount.projfs(8).
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "host/admin_client.h"
#include "host/config.h"
#include "mount_flags.h"

namespace {

// Exit codes of mount(8).
constexpr int kUsage = 1;
constexpr int kMountFailure = 32;

constexpr const char* kHelp =
    "usage: mount.projfs ID DIR [-sfnv] [-o OPTION[,OPTION]...] [-t TYPE]\n"
    "Asks projfsd to mount the project ID at DIR. Options of its own: ro, rw, suid, nosuid,\n"
    "dev, nodev, exec, noexec, remount. See mount.projfs(8).\n";

int complain(int code, const std::string& what) {
  std::fprintf(stderr, "mount.projfs: %s\n", what.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  bool fake = false;
  bool sloppy = false;
  bool verbose = false;
  std::string options;
  // Without '+' getopt lets options follow ID and DIR, which is how mount(8) calls.
  for (int c = 0; (c = ::getopt(argc, argv, "sfnvho:t:N:")) != -1;) {
    switch (c) {
      case 's':
        sloppy = true;
        break;
      case 'f':
        fake = true;
        break;
      case 'v':
        verbose = true;
        break;
      case 'o':
        options += (options.empty() ? "" : ",") + std::string(optarg);
        break;
      case 'n':
        break;
      case 't':
        break;
      case 'h':
        std::fputs(kHelp, stdout);
        return 0;
      case 'N':
        return complain(kUsage,
                        "-N: mounting in another namespace is not possible: projfsd mounts");
      default:
        return kUsage;  // getopt has said what is wrong
    }
  }
  if (argc - optind != 2) return complain(kUsage, "wants ID and DIR; see mount.projfs -h");
  const std::string id = argv[optind];
  const auto flags = projfs::parse_mount_flags(options, sloppy);
  if (!flags) return complain(kUsage, id + ": " + flags.error().describe());

  char* resolved = ::realpath(argv[optind + 1], nullptr);
  if (resolved == nullptr) {
    return complain(kMountFailure,
                    id + ": " +
                        projfs::fail_errno(std::string("the mount point ") + argv[optind + 1])
                            .value()
                            .describe());
  }
  const std::string directory = resolved;
  std::free(resolved);
  if (fake) return 0;

  if (!flags->remount) {
    const nlohmann::json request = {{"verb", "mount"},
                                    {"id", id},
                                    {"mountpoint", directory},
                                    {"read_only", flags->options.read_only},
                                    {"suid", flags->options.allow_suid},
                                    {"dev", flags->options.allow_devices}};
    const auto mounted = projfs::ask_daemon(projfs::client_socket(), request, {});
    if (!mounted) return complain(kMountFailure, mounted.error().describe());
  }
  if (const auto set = projfs::apply_mount_flags(directory, *flags); !set) {
    return complain(kMountFailure, id + ": " + set.error().describe());
  }
  if (verbose) std::printf("mount.projfs: %s mounted on %s\n", id.c_str(), directory.c_str());
  return 0;
}
