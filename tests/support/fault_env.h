// SPDX-License-Identifier: MIT
//
// An Env over a directory of the real file system that does what disks do: fails, fills up, loses
// power. While power is on it shows what a running system would see (writes are readable at once);
// crash() leaves in the directory what a disk might hold after a power cut.
//
// What survives power loss for certain: data written to a file before its last successful sync(),
// and directory entries made before the last sync_directory() of their directory. Everything
// younger is up to the CrashMode. A sync that was made to fail loses what it should have made
// durable, as the kernel does, which calls the pages clean all the same.
//
// Thread safety: everything may be called from several threads. Syncs are simulated, so they are
// cheap, and not real.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "projfs/env.h"

namespace projfs::testing {

enum class CrashMode : std::uint8_t {
  kDropUnsynced,  // nothing that was not synced survives
  kKeepAll,       // everything survives: a kill of the process
  // Each unsynced write is kept, lost, or torn at sectors (a prefix of them, or any subset); each
  // unsynced change of a directory is kept or lost.
  kRandom,
};

enum class FaultOp : std::uint8_t {
  kOpen,
  kWrite,
  kSync,
  kAllocate,
  kRename,
  kRemove,
  kSyncDirectory
};

class FaultEnv final : public Env {
 public:
  static constexpr std::uint64_t kSector = 512;

  // Acts below `root`, an existing directory; what is there already is durable. Paths elsewhere are
  // refused with EXDEV.
  FaultEnv(Env& base, std::string root);
  ~FaultEnv() override;

  struct Fault {
    FaultOp op = FaultOp::kWrite;
    unsigned nth = 1;  // the first that fails, counted from now
    int code = EIO;
    unsigned times = 1;             // how many fail in a row
    std::uint64_t bytes_taken = 0;  // kWrite: how much of the failing write reaches the file
  };
  void inject(const Fault& fault);
  void clear_faults();

  // From now on files may grow by `bytes` altogether before ENOSPC. Shrinking and removing gives
  // back.
  void limit_growth(std::uint64_t bytes);
  void unlimit_growth();

  // Called after each sync of a file, before it returns, with the path the file was opened by and
  // with no lock held: what another thread might do at that instant. Not to be replaced while files
  // are in use.
  void after_sync(std::function<void(const std::string& path)> hook);

  // After `changes` more changes (writes, syncs, entries) the power is off: every call fails with
  // EIO and changes nothing. crash() still has to be called.
  void power_off_after(std::uint64_t changes);
  [[nodiscard]] bool powered() const;
  // Number of changes so far.
  [[nodiscard]] std::uint64_t changes() const;

  // Cuts the power, and leaves in the directory what survived. Every handle, and this Env, then
  // fails with EIO: go on with a new one.
  void crash(std::uint64_t seed, CrashMode mode);

  Result<std::unique_ptr<File>> open(const std::string& path, Open mode) override;
  Result<std::vector<std::string>> list(const std::string& dir) override;
  Result<bool> exists(const std::string& path) override;
  Status make_directory(const std::string& path, unsigned mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& dir) override;
  Result<DiskSpace> space(const std::string& path) override;

 private:
  struct State;
  class FaultFile;
  const std::shared_ptr<State> state_;
};

}  // namespace projfs::testing
