// SPDX-License-Identifier: MIT
//
// The file STORE: what makes a directory a store. See docs/format.md.
#pragma once

#include <cstdint>
#include <string>

#include "projfs/env.h"

namespace projfs::host {

struct StoreIdentity {
  std::uint32_t format = 0;
  std::string uuid;
  std::int64_t created_ns = 0;
};

// ENOENT: not a store. EPROTONOSUPPORT: written by a newer projfs. EIO: damaged.
Result<StoreIdentity> read_identity(Env& env, const std::string& directory);
// Durable on return.
Status write_identity(Env& env, const std::string& directory, const StoreIdentity& identity);

[[nodiscard]] std::string random_uuid();
[[nodiscard]] std::string random_bytes(std::size_t count);

// Held while a store is open: one daemon at a time.
class StoreLock {
 public:
  // EBUSY with a sentence when somebody else holds it.
  static Result<StoreLock> acquire(const std::string& directory);
  StoreLock() = default;
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&& other) noexcept;
  ~StoreLock();

 private:
  int fd_ = -1;
};

}  // namespace projfs::host
