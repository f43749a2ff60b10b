// SPDX-License-Identifier: MIT
#include "fuse/session.h"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>

#include "fuse/channel.h"
#include "fuse/context.h"
#include "fuse/operations.h"
#include "fuse/resent.h"
#include "projfs/log.h"

namespace projfs::fuse {
namespace {

// Older kernels lack what the operations rely on (no-open for directories came with 7.29).
constexpr std::uint32_t kOldestMinor = 31;

constexpr unsigned kWanted =
    FUSE_CAP_ASYNC_READ |        // readahead is not serialised
    FUSE_CAP_DONT_MASK |         // a default ACL takes the place of the umask
    FUSE_CAP_READDIRPLUS |       // a listing brings the attributes along
    FUSE_CAP_READDIRPLUS_AUTO |  // but only while somebody uses them
    FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_PARALLEL_DIROPS |
    FUSE_CAP_POSIX_ACL | FUSE_CAP_CACHE_SYMLINKS |
    FUSE_CAP_EXPORT_SUPPORT |  // file handles: "." of any node is looked up, numbers never return
    FUSE_CAP_EXPLICIT_INVAL_DATA;  // sizes change through this kernel only, so its pages are right
// Not wanted: ATOMIC_O_TRUNC (there is no open), WRITEBACK_CACHE (would accept writes beyond the
// quota), ASYNC_DIO (once an asynchronous O_DIRECT write is done the kernel keeps the pages that a
// reader filled meanwhile; xfstests generic/451), AUTO_INVAL_DATA (nobody else writes),
// HANDLE_KILLPRIV (its second version is better), POSIX_LOCKS and FLOCK_LOCKS (the kernel's own are
// right for a local file system).

// Granted when offered: libfuse 3.14 has no name for the first two and forgets to answer the third.
constexpr std::uint32_t kWantedRaw =
    FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_PARALLEL_DIROPS;

// Flags of the kernel that ask for no answer.
constexpr std::uint64_t kHowToRead = FUSE_INIT_EXT | FUSE_MAX_PAGES | kHasResend;

void on_init(void* /*userdata*/, fuse_conn_info* conn) {
  conn->want = kWanted & conn->capable;
  conn->max_write = kMaxTransfer;
  conn->max_background = 256;
  conn->congestion_threshold = 192;
  conn->time_gran = 1;
}

ssize_t on_writev(int /*fd*/, iovec* parts, int count, void* /*userdata*/) {
  const Context& inside = context();
  if (inside.captured) {
    for (int i = 1; i < count; ++i)
      inside.captured->append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    return 0;
  }
  inside.channel->send({parts, static_cast<std::size_t>(count)});
  return 0;
}

// Never called: the channel reads.
ssize_t on_read(int /*fd*/, void* /*buffer*/, std::size_t /*size*/, void* /*userdata*/) {
  errno = EIO;
  return -1;
}

std::uint64_t flags_of(std::uint32_t low, std::uint32_t high) {
  return low | ((low & FUSE_INIT_EXT) ? std::uint64_t{high} << 32 : 0);
}

}  // namespace

Result<std::shared_ptr<Session>> Session::negotiate(const Request& init) {
  if (!init.has_header() || !init.well_formed() || init.opcode() != FUSE_INIT)
    return fail(EPROTO, "the kernel's first request is not a FUSE INIT");
  const auto body = init.body();
  fuse_init_in in{};
  std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
  if (in.major != 7 || in.minor < kOldestMinor)
    return fail(EPROTO, "the kernel speaks FUSE " + std::to_string(in.major) + "." +
                            std::to_string(in.minor) + ", older than 7." +
                            std::to_string(kOldestMinor));

  std::shared_ptr<Session> made(new Session);
  const char* argv[] = {"projfsd", nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, const_cast<char**>(argv));
  fuse_lowlevel_ops operations = lowlevel_operations();
  operations.init = on_init;
  made->session_ = fuse_session_new(&args, &operations, sizeof operations, nullptr);
  fuse_opt_free_args(&args);
  if (!made->session_) return fail(EIO, "libfuse refuses a new session");
  const fuse_custom_io io{
      .writev = on_writev, .read = on_read, .splice_receive = nullptr, .splice_send = nullptr};
  // libfuse wants a descriptor to own and close; replies go to the thread's channel whatever it is.
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nowhere < 0) return fail_errno("/dev/null");
  if (const int error = fuse_session_custom_io(made->session_, &io, nowhere)) {
    ::close(nowhere);
    return fail_errno("libfuse refuses its input and output", -error);
  }

  std::string padded(reinterpret_cast<const char*>(init.raw().data()), init.raw().size());
  padded.resize(std::max(padded.size(), sizeof(fuse_in_header) + sizeof(fuse_init_in)));
  std::string reply;
  {
    const InRequest inside(Context{.captured = &reply});
    fuse_buf buffer{};
    buffer.mem = padded.data();
    buffer.size = padded.size();
    fuse_session_process_buf(made->session_, &buffer);
  }
  if (reply.size() < sizeof(fuse_init_out))
    return fail(EPROTO, "libfuse refuses the kernel's INIT");

  fuse_init_out out{};
  std::memcpy(&out, reply.data(), sizeof out);
  out.flags |= kWantedRaw & in.flags;
  std::memcpy(reply.data(), &out, sizeof out);
  made->init_reply_ = std::move(reply);
  made->negotiated_ = {.kernel_minor = in.minor,
                       .offered = flags_of(in.flags, in.flags2),
                       .granted = flags_of(out.flags, out.flags2),
                       .max_write = out.max_write};
  log::info("fuse: kernel protocol 7.{}, offers {:#x}, takes {:#x}, max_write {}", in.minor,
            made->negotiated_.offered, made->negotiated_.granted, out.max_write);
  return made;
}

Result<std::shared_ptr<Session>> Session::resume(const Request& init, std::uint64_t granted) {
  if (!init.has_header() || !init.well_formed() || init.opcode() != FUSE_INIT)
    return fail(EPROTO, "what was kept of the mount holds no FUSE INIT");
  // Offered is now what was granted then, and what says how to read the request.
  const std::uint64_t offered = granted | kHowToRead;
  std::string raw(as_view(init.raw()));
  raw.resize(std::max(raw.size(), sizeof(fuse_in_header) + sizeof(fuse_init_in)));
  auto& header = *reinterpret_cast<fuse_in_header*>(raw.data());
  header.len = static_cast<std::uint32_t>(raw.size());
  auto& in = *reinterpret_cast<fuse_init_in*>(raw.data() + sizeof header);
  in.flags &= static_cast<std::uint32_t>(offered);
  in.flags2 &= static_cast<std::uint32_t>(offered >> 32);
  PROJFS_ASSIGN(auto session, negotiate(Request(as_bytes(raw))));
  if (session->negotiated().granted != granted)
    return fail(EPROTO,
                "the process that mounted it agreed with the kernel on what this one cannot do");
  return session;
}

Session::~Session() {
  if (session_) fuse_session_destroy(session_);
}

void Session::process(const Request& request) {
  fuse_buf buffer{};
  buffer.mem = const_cast<std::uint8_t*>(request.raw().data());
  buffer.size = request.raw().size();
  fuse_session_process_buf(session_, &buffer);
}

Result<std::shared_ptr<Session>> Sessions::for_kept(const Request& init, std::uint64_t granted) {
  if (!init.has_header()) return fail(EPROTO, "what was kept of the mount holds no FUSE INIT");
  const std::pair key(std::string(as_view(init.body())), granted);
  const std::lock_guard lock(mutex_);
  if (const auto it = by_agreement_.find(key); it != by_agreement_.end()) return it->second;
  PROJFS_ASSIGN(auto session, Session::resume(init, granted));
  by_agreement_.emplace(key, session);
  return session;
}

Result<std::shared_ptr<Session>> Sessions::for_init(const Request& init) {
  if (!init.has_header()) return fail(EPROTO, "the kernel's first request has no header");
  const std::string_view key = as_view(init.body());
  const std::lock_guard lock(mutex_);
  if (const auto it = by_init_.find(key); it != by_init_.end()) return it->second;
  PROJFS_ASSIGN(auto session, Session::negotiate(init));
  by_init_.emplace(key, session);
  return session;
}

}  // namespace projfs::fuse
