// SPDX-License-Identifier: MIT
//
// Names and paths in one state of a project, found from the inode upwards: an inode knows where its
// names are, so a path costs its depth and nothing by the size of the tree.
//
// Thread safety: none.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/entry.h"
#include "meta/inode_record.h"
#include "meta/view.h"

namespace projfs::snapshot {

struct Place {  // of a name
  Ino dir = 0;
  std::uint64_t hash = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

class TreeNames {
 public:
  TreeNames(meta::ProjectNo project, const meta::View& view) : project_(project), view_(view) {}

  // The record of an inode that has a name; nullopt: there is none in this state.
  [[nodiscard]] Result<std::optional<meta::InodeRecord>> inode(Ino ino) const;
  [[nodiscard]] Result<std::optional<fs::Entry>> entry(std::string_view key) const;
  // Where its names are, in order.
  [[nodiscard]] Result<std::vector<Place>> places(Ino ino, const meta::InodeRecord& record) const;

  // "." for the root. EIO: the tree does not hang together.
  Result<std::string> path(Ino dir, std::string_view name);
  Result<std::string> path(Ino ino, Place place);
  // By one of its names.
  Result<std::string> path(Ino ino, const meta::InodeRecord& record);

 private:
  // With a slash at the end; empty for the root.
  Result<std::string> directory(Ino dir);
  [[nodiscard]] Result<std::string> name_at(Ino ino, Place place) const;

  const meta::ProjectNo project_;
  const meta::View view_;
  std::unordered_map<Ino, std::string> directories_;  // paths found of late
  std::size_t remembered_ = 0;                        // bytes of them
};

}  // namespace projfs::snapshot
