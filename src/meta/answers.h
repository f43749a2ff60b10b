// SPDX-License-Identifier: MIT
//
// What was done for which request of a kernel, in Family::kSystem:
//   "answer/" boot (BE64) slot (BE32)  -> varints: connection, unique, result
// An operation that must not be done twice commits its answer in the batch of its change. The
// record is needed until the kernel has the answer, so each thread keeps but its last one: the cost
// is one small record in a batch, and as many records as there are threads.
//
// Records of earlier openings of the store are what a crash left; they stay, through further
// crashes too, until forget_earlier().
//
// Thread safety: everything may be called from several threads.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "projfs/database.h"
#include "projfs/request_id.h"

namespace projfs::meta {

class Answers {
 public:
  // `boot`: the number of this opening of the store.
  static Result<std::unique_ptr<Answers>> load(Database& db, std::uint64_t boot);

  // Puts into `batch` that it does what the thread's request asks for. `result`: what the answer
  // needs to know and the index cannot tell. Nothing happens outside a recorded request.
  void note(rocksdb::WriteBatch& batch, std::uint64_t result = 0) const;

  // The result of a request that was done before this opening of the store.
  [[nodiscard]] std::optional<std::uint64_t> find(const RequestId& request) const;
  // No kernel will ask for earlier requests again.
  Status forget_earlier();
  [[nodiscard]] std::size_t earlier() const;

 private:
  Answers(Database& db, std::uint64_t boot) : db_(db), boot_(boot) {}

  Database& db_;
  const std::uint64_t boot_;
  mutable std::mutex mutex_;
  std::map<RequestId, std::uint64_t> earlier_;  // guarded by mutex_
};

}  // namespace projfs::meta
