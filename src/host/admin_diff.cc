// SPDX-License-Identifier: MIT
// What differs between snapshots, or since one.
#include <sys/stat.h>
#include <array>

#include "host/admin_arguments.h"
#include "host/admin_service.h"

namespace projfs {
namespace {

using nlohmann::json;

// An answer that is made as a whole stays this small.
constexpr std::size_t kMostAtOnce = 100'000;

std::string_view word_of(Difference::Kind kind) {
  static constexpr std::array<std::string_view, 5> kWords = {"added", "removed", "renamed",
                                                             "modified", "metadata"};
  return kWords[static_cast<std::size_t>(kind)];
}

std::string_view type_word(std::uint32_t type) {
  switch (type) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    default:
      return "device";
  }
}

json to_json(const Difference& d) {
  json out = {{"change", word_of(d.kind)}, {"path", d.path}, {"type", type_word(d.type)}};
  if (!d.old_path.empty()) out["old_path"] = d.old_path;
  return out;
}

}  // namespace

Result<json> AdminService::snapshot_diff(Arguments& arguments, const AdminPeer& peer,
                                         const AdminProgress& progress) {
  const auto id = arguments.text("id");
  const auto from = arguments.text("from");
  const auto to = arguments.optional_text("to");
  const bool stream = arguments.flag("stream");
  PROJFS_TRY(arguments.done());
  PROJFS_TRY(project(id, peer));
  if (stream && !progress.streams()) return fail(EINVAL, "nothing can be streamed here");
  const auto hold = snapshots_.in_use();
  PROJFS_ASSIGN(const auto shown, snapshots_.of(id));
  auto& engine = shown->engine();
  const auto in_project = [&id](Error error) {
    error.message = id + ": " + error.describe();
    return tl::unexpected(std::move(error));
  };
  const auto before = engine.find(from);
  if (!before) return in_project(before.error());
  std::optional<std::uint64_t> number;
  if (to) {
    const auto after = engine.find(*to);
    if (!after) return in_project(after.error());
    number = after->number;
  }
  auto all = json::array();
  std::uint64_t count = 0;
  const auto compared = engine.diff(
      before->number, number,
      [&](const Difference& found) {
        ++count;
        if (stream) return progress.item(to_json(found));
        if (count <= kMostAtOnce) all.push_back(to_json(found));
        return count <= kMostAtOnce;
      },
      [&](double done) { progress(done, "comparing"); });
  if (!stream && count > kMostAtOnce)
    return fail(E2BIG, id + ": more than " + std::to_string(kMostAtOnce) +
                           " differences; ask for them with \"stream\":true");
  if (!compared) return in_project(compared.error());
  if (!stream) return all;
  return json{{"id", id}, {"from", from}, {"to", to ? json(*to) : json(nullptr)}, {"count", count}};
}

}  // namespace projfs
