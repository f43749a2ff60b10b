// SPDX-License-Identifier: MIT
#include "fuse/set_id.h"

#include <sys/stat.h>

namespace projfs::fuse {

bool loses_set_id(Volume& volume, Ino ino) {
  const auto attr = volume.getattr(ino);
  if (!attr) return false;
  return (attr->mode & S_ISUID) || ((attr->mode & S_ISGID) && (attr->mode & S_IXGRP));
}

Status drop_set_id(Channel& channel, Ino ino, std::uint32_t uid) {
  if (uid == 0 || !loses_set_id(channel.volume(), ino)) return {};
  AttrChange change;
  change.drop_set_id = true;
  PROJFS_TRY(channel.volume().setattr(ino, change, Caller{}));
  channel.invalidate_attributes(ino);
  return {};
}

}  // namespace projfs::fuse
