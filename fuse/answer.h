// SPDX-License-Identifier: MIT
//
// The one place where a Result (or an exception) becomes a FUSE reply. Operations are written as
//   answer(req, [&](Volume& v) -> Result<Attr> { ... })
// and the type of the result chooses the reply.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "fuse/channel.h"
#include "fuse/context.h"
#include "projfs/log.h"
#include "projfs/node_id.h"
#include "projfs/result.h"
#include "projfs/volume.h"

namespace projfs::fuse {

// What a reply consists of, where the C++ type alone does not say it.
struct Entry {
  Attr attr;
};                  // a name was looked up or made
struct NoEntry {};  // a name known to be absent, for the kernel to remember
struct Written {
  std::size_t bytes;
};
struct Position {
  std::uint64_t offset;
};
struct XattrSize {
  std::size_t bytes;
};
struct Payload {
  Bytes bytes;
};  // file data, listings, values
struct LinkTarget {
  std::string path;
};

struct stat to_stat(const Attr& attr);
fuse_entry_param to_entry(const Attr& attr);
// How long the kernel may keep the attributes of a node, and the entries of a directory. Those of
// `.snapshots` change without its doing: it asks each time, and no cache has to be found and
// emptied when a snapshot comes or goes, not even one that an earlier daemon filled. All else
// changes through the kernel alone, or, inside a snapshot, never.
double attr_timeout_s(Ino node);

void send(fuse_req_t req, const Entry& entry);
void send(fuse_req_t req, const NoEntry& nothing);
void send(fuse_req_t req, const Attr& attr);
void send(fuse_req_t req, const Written& written);
void send(fuse_req_t req, const Position& position);
void send(fuse_req_t req, const XattrSize& size);
void send(fuse_req_t req, const Payload& payload);
void send(fuse_req_t req, const LinkTarget& target);
void send(fuse_req_t req, const VolumeSpace& space);

// Logs an EIO, loudly; returns the errno.
int report(const Error& error);

// Runs `body` on the volume of this thread's request; an exception becomes an Error.
template <class Body>
auto guarded(Body&& body) noexcept -> std::invoke_result_t<Body, Volume&> {
  try {
    return std::forward<Body>(body)(context().channel->volume());
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  } catch (const std::exception& e) {
    return fail(EIO, std::string("exception: ") + e.what());
  } catch (...) {
    return fail(EIO, "an exception of no known kind");
  }
}

template <class Body>
void answer(fuse_req_t req, Body&& body) noexcept {
  const auto result = guarded(std::forward<Body>(body));
  if (!result) {
    fuse_reply_err(req, report(result.error()));
  } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(result)>, Status>) {
    fuse_reply_err(req, 0);
  } else {
    send(req, *result);
  }
}

// As entry, from a volume's attributes.
inline Result<Entry> entry(Result<Attr> attr) {
  if (!attr) return tl::unexpected(std::move(attr).error());
  return Entry{*attr};
}

Caller caller_of(fuse_req_t req);

}  // namespace projfs::fuse
