// SPDX-License-Identifier: MIT
#include "host/admin_client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <algorithm>

#include "host/descriptor.h"
#include "host/line_channel.h"

namespace projfs {
namespace {

using nlohmann::json;
constexpr std::size_t kMaxAnswerBytes = 256 << 20;  // a list of 100,000 projects fits

Result<Descriptor> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ENAMETOOLONG, "the socket path " + path + " is longer than 107 bytes");
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("cannot make a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(ECONNREFUSED, "no daemon answers at the socket " + path + " (" +
                                  std::generic_category().message(errno) +
                                  "); is projfsd running?");
  }
  return fd;
}

}  // namespace

Result<json> ask_daemon(const std::string& socket, const json& request,
                        const ProgressSink& progress, const ItemSink& items) {
  std::string line;
  try {
    line = request.dump() + "\n";
  } catch (const json::exception&) {
    return fail(EINVAL, "the arguments must be valid UTF-8");
  }
  PROJFS_ASSIGN(const Descriptor connection, connect_to(socket));
  LineChannel channel(connection.get(), kMaxAnswerBytes);
  // A daemon that refuses the connection says why and closes: its words matter more than EPIPE.
  const auto sent = channel.write(line);
  for (;;) {
    const auto answer = channel.read_line();
    if (!answer || !*answer) {
      return fail(ECONNRESET, "the daemon at " + socket +
                                  " closed the connection before it answered; see its log");
    }
    auto reply = json::parse(**answer, nullptr, false);
    if (reply.is_object() && reply.contains("ok")) return std::move(reply["ok"]);
    if (reply.is_object() && reply.contains("error") && reply["error"].is_object()) {
      const auto& error = reply["error"];
      const int code = error.value("errno", EIO);
      return fail(code == 0 ? EIO : code, error.value("message", std::string()));
    }
    if (reply.is_object() && reply.contains("item")) {
      if (items) items(reply["item"]);
      continue;
    }
    if (reply.is_object() && reply.contains("progress")) {
      if (progress) progress(reply.value("progress", 0.0), reply.value("step", std::string()));
      continue;
    }
    return fail(EPROTO, "whatever answers at " + socket + " is not projfsd");
  }
}

}  // namespace projfs
