// SPDX-License-Identifier: MIT
//
// One libfuse session for each *kind* of kernel, that is for each distinct INIT request, shared by
// all mounts: every libfuse 3.14 session takes one of the 1,024 thread-specific keys that a process
// may have (PTHREAD_KEYS_MAX), so a session for each mount would end at 1,024 mounts. Sharing works
// because the channel answers INIT, DESTROY and INTERRUPT, which are the only requests that change
// a session's state, and because every reply is written by the thread that read the request.
//
// Thread safety: all of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "fuse/request.h"
#include "projfs/result.h"

struct fuse_session;

namespace projfs::fuse {

// What an INIT exchange settled.
struct Negotiated {
  std::uint32_t kernel_minor = 0;
  std::uint64_t offered = 0;  // INIT flags of the kernel
  std::uint64_t granted = 0;  // INIT flags of our answer
  std::uint32_t max_write = 0;
  [[nodiscard]] bool long_setxattr() const { return (granted & FUSE_SETXATTR_EXT) != 0; }
};

class Session {
 public:
  // Feeds an INIT request to a new session. EPROTO: a kernel too old or not FUSE 7.
  static Result<std::shared_ptr<Session>> negotiate(const Request& init);
  // As negotiate(), but taking nothing that was not `granted` when another process answered this
  // INIT. EPROTO: we would not take all that was.
  static Result<std::shared_ptr<Session>> resume(const Request& init, std::uint64_t granted);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The payload that answers the INIT request, for every mount.
  [[nodiscard]] const std::string& init_reply() const { return init_reply_; }
  [[nodiscard]] const Negotiated& negotiated() const { return negotiated_; }

  // Decodes a request and runs its operation on the volume in this thread's Context, which also
  // gets the reply. REQUIRES: well-formed, and not INIT, DESTROY or INTERRUPT.
  void process(const Request& request);

 private:
  Session() = default;
  fuse_session* session_ = nullptr;
  std::string init_reply_;
  Negotiated negotiated_;
};

// The sessions of a server, by INIT request.
class Sessions {
 public:
  Result<std::shared_ptr<Session>> for_init(const Request& init);
  Result<std::shared_ptr<Session>> for_kept(const Request& init, std::uint64_t granted);

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, std::shared_ptr<Session>, std::less<>> by_init_;
  std::map<std::pair<std::string, std::uint64_t>, std::shared_ptr<Session>> by_agreement_;
};

}  // namespace projfs::fuse
