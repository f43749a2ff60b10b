// SPDX-License-Identifier: MIT
#include "descriptor_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "projfs/log.h"

namespace projfs {
namespace {

constexpr const char* kDrained = "/drained";

std::string contents(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// No sync: after a power loss there is no mount to know something about.
Status replace(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  {
    const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot create " + fresh);
    if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      return fail_errno("cannot write " + fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("cannot replace " + path);
  return {};
}

void remove_from_keeper(const std::string& name) {
  ::sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str());
}

// A mount that nobody will serve must not keep applications waiting until its last descriptor is
// closed, which is not ours. (The kernel tells the connection's number since 6.5.)
void abort_connection(int fd) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  const std::string key = "fuse_connection:";
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with(key)) continue;
    const auto number = std::strtoul(line.c_str() + key.size(), nullptr, 10);
    std::ofstream("/sys/fs/fuse/connections/" + std::to_string(number) + "/abort") << "1";
  }
}

}  // namespace

std::unique_ptr<DescriptorStore> DescriptorStore::open(std::string directory) {
  const char* listener = std::getenv("NOTIFY_SOCKET");
  std::unique_ptr<DescriptorStore> made(new DescriptorStore(std::move(directory)));
  char** names = nullptr;
  const int count = ::sd_listen_fds_with_names(1, &names);
  made->drained_ = ::access((made->directory_ + kDrained).c_str(), F_OK) == 0;
  for (int i = 0; i < count; ++i) {
    made->take(names[i], Descriptor(SD_LISTEN_FDS_START + i));
    std::free(names[i]);
  }
  std::free(static_cast<void*>(names));
  if (listener == nullptr || *listener == '\0') return nullptr;
  return made;
}

void DescriptorStore::take(const std::string& name, Descriptor fd) {
  auto mount = fuse::KeptMount::decode(contents(file_of(name)));
  if (mount && fuse::connection_name(mount->connection) == name) {
    kept_.push_back({std::move(*mount), std::move(fd)});
    return;
  }
  log::warn("the descriptor '{}' that was kept for this daemon is of no use: {}", name,
            mount ? "it belongs to another mount" : mount.error().describe());
  abort_connection(fd.get());
  remove_from_keeper(name);
}

Status DescriptorStore::begin() {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno("cannot create " + directory_);
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(directory_, error)) {
    const auto is_of = [&](const Kept& kept) {
      return fuse::connection_name(kept.mount.connection) == file.path().filename();
    };
    if (std::none_of(kept_.begin(), kept_.end(), is_of)) ::unlink(file.path().c_str());
  }
  if (error) return fail(error.value(), "cannot read " + directory_ + ": " + error.message());
  return {};
}

Status DescriptorStore::mark_drained() { return replace(directory_ + kDrained, "\n"); }

Status DescriptorStore::keep(const fuse::KeptMount& mount, int fd) {
  const auto name = fuse::connection_name(mount.connection);
  PROJFS_TRY(replace(file_of(name), mount.encode()));
  // Not polled: the kernel wakes whoever polls /dev/fuse at every request, also for what it does
  // not poll for.
  const auto message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
  if (const int sent = ::sd_pid_notify_with_fds(0, 0, message.c_str(), &fd, 1); sent <= 0)
    return fail_errno("handing over its descriptor", sent < 0 ? -sent : ENOTCONN);
  return {};
}

void DescriptorStore::let_go(std::uint64_t connection) {
  const auto name = fuse::connection_name(connection);
  remove_from_keeper(name);
  ::unlink(file_of(name).c_str());
}

}  // namespace projfs
