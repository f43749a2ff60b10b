// SPDX-License-Identifier: MIT
//
// One mount's end of the conversation with the kernel: owns the descriptor, the INIT request as the
// kernel sent it, and every read and write. (Descriptor and INIT are all that another process would
// need to go on serving the mount.) Knows no threads: whoever calls receive() carries the request
// out.
//
// Thread safety: greet() once, before all else; then everything from any thread.
#pragma once

#include <sys/uio.h>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "fuse/context.h"
#include "fuse/kept_mount.h"
#include "fuse/request.h"
#include "fuse/session.h"
#include "projfs/request_id.h"
#include "projfs/volume.h"

namespace projfs::fuse {

struct Traffic {  // counters, read without order
  std::atomic<std::uint64_t> requests = 0, bytes_read = 0, bytes_written = 0, errors = 0;
};

// The result of a request (see Store::answered), if it was carried out before.
using Answered = std::function<std::optional<std::uint64_t>(const RequestId&)>;

class Channel : public Volume::KernelView {
 public:
  // Owns `fd`: non-blocking, one message a read and one a write. `connection`: known by this number
  // to whoever serves it later, 0 if nobody will.
  Channel(int fd, std::string id, std::shared_ptr<Volume> volume, double cache_timeout_s,
          std::uint64_t connection = 0);
  // How to find out what an earlier process did for a request that must not be carried out twice.
  // Before the first request.
  void look_up_answers(const Answered& answered) { answered_ = answered; }
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Reads the kernel's INIT request and answers it.
  Status greet(Sessions& sessions);
  // Instead of greet(), for a connection that another process began. EPROTO: we would not have
  // agreed to the same.
  Status resume(Sessions& sessions, const KeptMount& kept);
  // Makes the kernel send again all requests that it has no answer to, before any others.
  Status ask_again();

  enum class Received { kRequest, kNothing, kEnded };
  // Reads one request to `buffer`. kEnded: the kernel has gone, for good.
  Received receive(MutableBytes buffer, Request& out);
  // Carries out a request that receive() gave and answers it.
  void process(const Request& request, const Buffers& buffers);

  // Writes one message: parts[0] is a fuse_out_header, its length is filled in here. Returns 0 or
  // the errno; ENOENT (nobody waits for the answer any more) is not logged.
  int send(std::span<const iovec> parts);
  // Answers a request that libfuse does not know. `error`: a positive errno.
  void reply(const Request& to, Bytes payload);
  void reply_error(const Request& to, int error);

  // Makes the kernel ask for the attributes of `ino` at their next use; its pages stay. False: it
  // does not know the inode. Takes no lock that a request could hold: callable from inside one.
  bool invalidate_attributes(Ino ino);
  bool knows(Ino ino) override { return invalidate_attributes(ino); }

  // Makes the kernel forget an entry of a directory, or all it keeps of an inode, data included. It
  // waits for requests that are under way in them: never from inside one.
  void forget_entry(Ino parent, std::string_view name);
  void forget_inode(Ino ino);

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::uint64_t connection() const { return connection_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] Volume& volume() const { return *volume_; }
  [[nodiscard]] double cache_timeout_s() const { return cache_timeout_s_; }
  [[nodiscard]] const Negotiated& negotiated() const { return session_->negotiated(); }
  [[nodiscard]] const std::string& init_request() const { return init_request_; }
  [[nodiscard]] Traffic& traffic() { return traffic_; }

 private:
  void carry_out(const Request& request, const Buffers& buffers);

  const int fd_;
  const std::string id_;
  const std::shared_ptr<Volume> volume_;
  const double cache_timeout_s_;
  const std::uint64_t connection_;
  Answered answered_;
  std::string init_request_;          // as read
  std::shared_ptr<Session> session_;  // set by greet()
  Traffic traffic_;
};

}  // namespace projfs::fuse
