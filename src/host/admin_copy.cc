// SPDX-License-Identifier: MIT
// The verbs that copy trees into and out of a project.
#include <sys/stat.h>
#include <filesystem>

#include "host/admin_arguments.h"
#include "host/admin_service.h"
#include "host/mapped_pages.h"
#include "host/text.h"
#include "projfs/log.h"

namespace projfs {
namespace {

using nlohmann::json;

bool report(const AdminProgress& progress, const CopyProgress& p) {
  const double bytes = p.bytes_total == 0 ? 1 : double(p.bytes) / double(p.bytes_total);
  const double files = p.files_total == 0 ? 1 : double(p.files) / double(p.files_total);
  // Small files cost by their number, large ones by their bytes: half and half is near enough.
  const double share = std::min(1.0, (bytes + files) / 2);
  return progress(share, format_size(p.bytes) + " of " + format_size(p.bytes_total) + ", " +
                             std::to_string(p.files) + " of " + std::to_string(p.files_total) +
                             " files");
}

json to_json(const CopyOutcome& outcome, std::int64_t started_ns) {
  return {{"files", outcome.files},
          {"directories", outcome.directories},
          {"others", outcome.others},
          {"bytes", outcome.bytes},
          {"unchanged", outcome.unchanged},
          {"failed", outcome.failed},
          {"problems", outcome.problems},
          {"seconds", static_cast<double>(now_ns() - started_ns) / 1e9}};
}

bool is_below(const std::filesystem::path& path, const std::filesystem::path& ancestor) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error).string() + "/";
  const auto top = std::filesystem::weakly_canonical(ancestor, error).string() + "/";
  return real.starts_with(top);
}

}  // namespace

Result<json> AdminService::import_tree(Arguments& arguments, const AdminPeer& peer,
                                       const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto directory = arguments.text("directory");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  if (!directory.starts_with('/'))
    return fail(EINVAL, directory + " must be an absolute path: the daemon reads it");

  PROJFS_ASSIGN(const auto turn, import_turns_.wait(id, [&] {
    return progress(0, "waiting for another import into it");
  }));
  const auto mountpoint = mounts_.mountpoint(id);
  std::optional<dev_t> own_device;
  if (mountpoint) {
    if (is_below(directory, *mountpoint))
      return fail(EINVAL, directory + " is inside the project '" + id + "' itself");
    struct stat info {};
    if (::stat(mountpoint->c_str(), &info) == 0) own_device = info.st_dev;
  }
  PROJFS_ASSIGN(const auto volume, store_.volume(id));
  CopyWatch watch;
  watch.progress = [&](const CopyProgress& p) { return report(progress, p); };
  watch.changed = [&](Ino parent, std::string_view name, Ino child) {
    mounter_.invalidate(id, parent, name, child);
  };
  const auto started = now_ns();
  PROJFS_ASSIGN(const auto outcome, projfs::import_tree(*volume, directory, own_device, watch));
  snapshots_.head_changed(id);
  log::info("{}: imported {} files, {} from {}; {} failed", id, outcome.files,
            format_size(outcome.bytes), directory, outcome.failed);
  return to_json(outcome, started);
}

Result<json> AdminService::export_tree(Arguments& arguments, const AdminPeer& peer,
                                       const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto directory = arguments.text("directory");
  const bool resume = arguments.flag("resume");
  PROJFS_TRY(arguments.done());
  PROJFS_ASSIGN(const auto info, project(id, peer));
  if (!directory.starts_with('/'))
    return fail(EINVAL, directory + " must be an absolute path: the daemon writes it");
  if (const auto mountpoint = mounts_.mountpoint(id)) {
    if (is_below(directory, *mountpoint))
      return fail(EINVAL, directory + " is inside the project '" + id + "' itself");
    flush_mapped_pages(*mountpoint);
  }
  PROJFS_ASSIGN(const auto volume, store_.volume(id));
  CopyWatch watch;
  watch.progress = [&](const CopyProgress& p) { return report(progress, p); };
  const CopyProgress expected{.files_total = info.usage.inodes, .bytes_total = info.usage.bytes};
  const auto started = now_ns();
  PROJFS_ASSIGN(const auto outcome,
                projfs::export_tree(*volume, directory, resume, expected, watch));
  log::info("{}: exported {} files, {} to {}; {} failed", id, outcome.files,
            format_size(outcome.bytes), directory, outcome.failed);
  return to_json(outcome, started);
}

}  // namespace projfs
