// SPDX-License-Identifier: MIT
//
// Whether the content of a file differs between two states of a project. Where the extents are the
// same nothing is read; where they are not, bytes are, up to the first difference.
#pragma once

#include "meta/extent_list.h"
#include "meta/view.h"
#include "projfs/volume.h"

namespace projfs::snapshot {

class ContentDiff {
 public:
  struct Side {
    Volume& volume;          // for attributes and bytes, also staged ones
    const meta::View& view;  // for extents
  };
  ContentDiff(meta::ProjectNo project, Side from, Side to)
      : project_(project), from_(from), to_(to) {}

  // REQUIRES everywhere: files of equal size; `then` is one of the first side, `now` of the other.

  // In one segment. `indexed`: no data of either was staged when the views were taken.
  [[nodiscard]] Result<bool> segment(Ino then, Ino now, std::uint64_t number, bool indexed) const;
  [[nodiscard]] Result<bool> range(Ino then, Ino now, std::uint64_t begin, std::uint64_t end) const;
  // Everywhere.
  [[nodiscard]] Result<bool> whole(Ino then, Ino now, bool indexed) const;

 private:
  [[nodiscard]] Result<std::vector<meta::Extent>> chunks(const Side& side, Ino ino,
                                                         std::uint64_t number) const;
  // The next byte at or after `offset` that is data in either; nullopt: there is none.
  [[nodiscard]] Result<std::optional<std::uint64_t>> next_data(Ino then, Ino now,
                                                               std::uint64_t offset) const;

  const meta::ProjectNo project_;
  const Side from_, to_;
};

}  // namespace projfs::snapshot
