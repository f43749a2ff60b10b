// SPDX-License-Identifier: MIT
#include "fs/frozen_state.h"

#include <algorithm>

namespace projfs::fs {
namespace {

Attr attr_with(Ino ino, const meta::InodeRecord& r, std::uint64_t size, std::uint64_t allocated) {
  Attr a = attr_of(ino, r);
  a.size = size;
  a.allocated = allocated;
  return a;
}

}  // namespace

void freeze(Inode& inode, meta::Epoch current) {
  const auto keep = [&inode](meta::Epoch epoch) {
    inode.frozen.push_back({epoch, inode.record, inode.size, inode.allocated, inode.sparse,
                            inode.overlay, inode.last_seq});
  };
  keep(inode.state_epoch);
  // After a replay: metadata changed in a later epoch than the last staged data.
  if (inode.born > inode.state_epoch && inode.born < current) keep(inode.born);
  inode.overdue = true;
}

meta::InodeRecord record_of(const FrozenState& state) {
  auto record = state.record;
  record.size = state.size;
  record.allocated = state.allocated;
  record.flags &= ~static_cast<std::uint32_t>(meta::InodeRecord::kSparse);
  if (state.sparse) record.flags |= meta::InodeRecord::kSparse;
  record.attr_floor = std::max(record.attr_floor, state.seq);
  return record;
}

std::vector<meta::PastVersion> past_records(const Inode& inode) {
  std::vector<meta::PastVersion> past;
  for (const auto& f : inode.frozen) {
    if (f.epoch >= inode.born) past.push_back({f.epoch, record_of(f).encode()});
  }
  return past;
}

std::optional<StateView> state_at(const Inode& inode, meta::Epoch epoch) {
  StateView view;
  const bool record_here = inode.born <= epoch;
  if (inode.staged.empty() && inode.frozen.empty()) return std::nullopt;
  if (inode.state_epoch <= epoch) {
    view.size = inode.size;
    view.overlay = &inode.overlay;
    if (record_here) view.attr = inode.attr();
    return view;
  }
  for (auto f = inode.frozen.rbegin(); f != inode.frozen.rend(); ++f) {
    if (f->epoch > epoch) continue;
    view.size = f->size;
    view.overlay = &f->overlay;
    if (record_here) view.attr = attr_with(inode.ino, f->record, f->size, f->allocated);
    return view;
  }
  return std::nullopt;
}

}  // namespace projfs::fs
