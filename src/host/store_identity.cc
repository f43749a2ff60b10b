// SPDX-License-Identifier: MIT
#include "host/store_identity.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "projfs/store.h"

namespace projfs::host {
namespace {

constexpr std::string_view kFirstLine = "projfs store";
constexpr std::string_view kLastLine = "end";

}  // namespace

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const auto n = getrandom(out.data() + have, count - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  return out;
}

std::string random_uuid() {
  auto raw = random_bytes(16);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x40);  // version 4, RFC 9562
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
    out.push_back(kHex[static_cast<unsigned char>(raw[i]) >> 4]);
    out.push_back(kHex[raw[i] & 15]);
  }
  return out;
}

Result<StoreIdentity> read_identity(Env& env, const std::string& directory) {
  const auto path = directory + "/STORE";
  PROJFS_ASSIGN(const bool there, env.exists(path));
  if (!there) {
    return fail(ENOENT, directory +
                            " is not a projfs store: it has no file STORE (make one with "
                            "projfs-admin store init, or mount the disk that holds it)");
  }
  PROJFS_ASSIGN(const auto file, env.open(path, Env::Open::kRead));
  std::vector<std::uint8_t> data(4096);
  PROJFS_ASSIGN(const auto size, file->read(0, data));
  std::istringstream in(std::string(as_view(Bytes(data).first(size))));
  std::map<std::string, std::string> fields;
  std::string line, last;
  bool first = true;
  while (std::getline(in, line)) {
    last = line;
    if (first && line != kFirstLine) {
      return fail(ENOENT, directory + " is not a projfs store: its file STORE is something else's");
    }
    first = false;
    if (const auto space = line.find(' '); space != line.npos)
      fields[line.substr(0, space)] = line.substr(space + 1);
  }
  StoreIdentity id;
  id.format = static_cast<std::uint32_t>(std::strtoul(fields["format"].c_str(), nullptr, 10));
  id.uuid = fields["uuid"];
  id.created_ns = std::strtoll(fields["created"].c_str(), nullptr, 10);
  // The version is looked at first: a newer format may end differently.
  if (!first && id.format > kStoreFormat) {
    return fail(EPROTONOSUPPORT, "the store " + directory + " has format " +
                                     std::to_string(id.format) + ", this projfs reads up to " +
                                     std::to_string(kStoreFormat) + ": use a newer projfs");
  }
  if (first || last != kLastLine || id.format == 0 || id.uuid.size() != 36) {
    return fail(EIO,
                "the store " + directory + " is damaged: its file STORE is cut short or wrong");
  }
  return id;
}

Status write_identity(Env& env, const std::string& directory, const StoreIdentity& id) {
  std::string text(kFirstLine);
  text += "\nformat " + std::to_string(id.format) + "\nuuid " + id.uuid + "\ncreated " +
          std::to_string(id.created_ns) + "\n" + std::string(kLastLine) + "\n";
  const auto path = directory + "/STORE";
  {
    PROJFS_ASSIGN(const auto file, env.open(path + ".new", Env::Open::kCreateNew));
    PROJFS_TRY(file->write(0, as_bytes(text)));
    PROJFS_TRY(file->sync());
  }
  PROJFS_TRY(env.rename(path + ".new", path));
  return env.sync_directory(directory);
}

Result<StoreLock> StoreLock::acquire(const std::string& directory) {
  StoreLock lock;
  const auto path = directory + "/STORE";
  lock.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock.fd_ < 0) return fail_errno("cannot open " + path);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(EBUSY, "the store " + directory + " is in use by another projfsd");
    }
    return fail_errno("cannot lock " + path);
  }
  return lock;
}

StoreLock::StoreLock(StoreLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
StoreLock& StoreLock::operator=(StoreLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
StoreLock::~StoreLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace projfs::host
