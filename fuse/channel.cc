// SPDX-License-Identifier: MIT
#include "fuse/channel.h"

#include <poll.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <vector>

#include "fuse/operations.h"
#include "fuse/resent.h"
#include "projfs/log.h"

namespace projfs::fuse {
namespace {

// The kernel refuses a smaller buffer, also for INIT.
constexpr std::size_t kGreetingBuffer = 64 << 10;

std::uint32_t total_length(std::span<const iovec> parts) {
  std::size_t length = 0;
  for (const iovec& part : parts) length += part.iov_len;
  return static_cast<std::uint32_t>(length);
}

}  // namespace

Channel::Channel(int fd, std::string id, std::shared_ptr<Volume> volume, double cache_timeout_s,
                 std::uint64_t connection)
    : fd_(fd),
      id_(std::move(id)),
      volume_(std::move(volume)),
      cache_timeout_s_(cache_timeout_s),
      connection_(connection) {}

Channel::~Channel() { ::close(fd_); }

Status Channel::greet(Sessions& sessions) {
  std::vector<std::uint8_t> buffer(kGreetingBuffer);
  Request init;
  for (;;) {
    const Received received = receive(buffer, init);
    if (received == Received::kRequest) break;
    if (received == Received::kEnded) return fail(ENODEV, "the kernel hung up before its INIT");
    pollfd readable{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, -1) < 0 && errno != EINTR) return fail_errno("poll");
  }
  auto session = sessions.for_init(init);
  if (!session) {
    if (init.has_header()) reply_error(init, EPROTO);
    return tl::unexpected(session.error());
  }
  session_ = std::move(*session);
  init_request_ = as_view(init.raw());
  reply(init, as_bytes(session_->init_reply()));
  return {};
}

Status Channel::resume(Sessions& sessions, const KeptMount& kept) {
  PROJFS_ASSIGN(session_, sessions.for_kept(Request(as_bytes(kept.init)), kept.granted));
  init_request_ = kept.init;
  return {};
}

Status Channel::ask_again() {
  fuse_out_header header{.len = 0, .error = kNotifyResend, .unique = 0};
  const iovec parts[] = {{&header, sizeof header}};
  if (const int error = send(parts)) return fail_errno("asking for unanswered requests", error);
  return {};
}

Channel::Received Channel::receive(MutableBytes buffer, Request& out) {
  for (;;) {
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n > 0) {
      out = Request(buffer.first(static_cast<std::size_t>(n)));
      return Received::kRequest;
    }
    if (n == 0) return Received::kEnded;  // a fake kernel closed its end
    switch (errno) {
      case EAGAIN:
        return Received::kNothing;
      case EINTR:
      case ENOENT:  // the request was given up while we read it
        continue;
      case ENODEV:
      case ECONNRESET:
        return Received::kEnded;
      default:
        log::error("project {}: reading requests: {}", id_, std::strerror(errno));
        return Received::kEnded;
    }
  }
}

void Channel::process(const Request& request, const Buffers& buffers) {
  if (!request.has_header()) {
    log::error("project {}: a message of {} bytes that is no request", id_, request.raw().size());
    return;
  }
  traffic_.requests.fetch_add(1, std::memory_order_relaxed);
  switch (request.opcode()) {
    case FUSE_INTERRUPT:     // operations are not interrupted, and this asks for no answer
    case FUSE_NOTIFY_REPLY:  // nor this, which nothing here asks for; libfuse would leak it
      return;
    case FUSE_DESTROY:
      return reply(request, {});
    case FUSE_INIT:
      return reply_error(request, EIO);
    default:
      break;
  }
  if (!request.well_formed()) {
    log::error("project {}: malformed request: opcode {}, {} bytes", id_, request.opcode(),
               request.raw().size());
    if (request.opcode() != FUSE_FORGET && request.opcode() != FUSE_BATCH_FORGET)
      reply_error(request, EINVAL);
    return;
  }
  const InRequest inside(Context{.channel = this, .request = request, .scratch = buffers.reply()});
  carry_out(request, buffers);
}

void Channel::carry_out(const Request& request, const Buffers& buffers) {
  const auto now = [&] {
    if (!raw_operation(*this, request)) session_->process(request);
  };
  if (connection_ == 0 || !happens_once(request.opcode())) return now();
  const RequestId id{connection_, request.header().unique & ~kResent};
  if (is_resent(request) && answered_) {
    if (const auto done = answered_(id)) return answer_again(*this, request, *done);
  }
  const CarryingOut recorded({id, buffers.slot()});
  now();
}

int Channel::send(std::span<const iovec> parts) {
  auto& header = *static_cast<fuse_out_header*>(parts[0].iov_base);
  header.len = total_length(parts);
  if (header.error != 0 && header.unique != 0 && header.error != -ENOENT &&
      header.error != -ENOSYS && header.error != -ENODATA)
    traffic_.errors.fetch_add(1, std::memory_order_relaxed);
  for (;;) {
    if (::writev(fd_, parts.data(), static_cast<int>(parts.size())) >= 0) return 0;
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {  // a fake kernel's socket is full; /dev/fuse never says this
      pollfd writable{.fd = fd_, .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
      continue;
    }
    const bool gone = error == ENOENT || error == ENODEV || error == ENOTCONN || error == EPIPE ||
                      error == ECONNRESET;
    if (!gone)
      log::error("project {}: answering (unique {}, error {}, {} bytes): {}", id_, header.unique,
                 header.error, header.len, std::strerror(error));
    return error;
  }
}

void Channel::reply(const Request& to, Bytes payload) {
  fuse_out_header header{.len = 0, .error = 0, .unique = to.header().unique};
  const iovec parts[] = {{&header, sizeof header},
                         {const_cast<std::uint8_t*>(payload.data()), payload.size()}};
  send(parts);
}

void Channel::reply_error(const Request& to, int error) {
  fuse_out_header header{.len = 0, .error = -error, .unique = to.header().unique};
  const iovec parts[] = {{&header, sizeof header}};
  send(parts);
}

bool Channel::invalidate_attributes(Ino ino) {
  fuse_out_header header{.len = 0, .error = FUSE_NOTIFY_INVAL_INODE, .unique = 0};
  fuse_notify_inval_inode_out what{.ino = ino, .off = -1, .len = 0};
  const iovec parts[] = {{&header, sizeof header}, {&what, sizeof what}};
  switch (send(parts)) {
    case ENOENT:
    case ENODEV:
    case ENOTCONN:
    case EPIPE:
    case ECONNRESET:
    case EBADF:
      return false;
    default:
      return true;  // also on a failure: keeping an inode too long is harmless, losing it is not
  }
}

void Channel::forget_entry(Ino parent, std::string_view name) {
  fuse_out_header header{.len = 0, .error = FUSE_NOTIFY_INVAL_ENTRY, .unique = 0};
  fuse_notify_inval_entry_out what{
      .parent = parent, .namelen = static_cast<std::uint32_t>(name.size()), .flags = 0};
  std::string terminated(name);
  const iovec parts[] = {
      {&header, sizeof header}, {&what, sizeof what}, {terminated.data(), terminated.size() + 1}};
  send(parts);
}

void Channel::forget_inode(Ino ino) {
  fuse_out_header header{.len = 0, .error = FUSE_NOTIFY_INVAL_INODE, .unique = 0};
  fuse_notify_inval_inode_out what{.ino = ino, .off = 0, .len = 0};
  const iovec parts[] = {{&header, sizeof header}, {&what, sizeof what}};
  send(parts);
}

}  // namespace projfs::fuse
