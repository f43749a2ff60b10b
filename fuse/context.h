// SPDX-License-Identifier: MIT
//
// What the thread that carries out a request knows about it. libfuse hands an operation its decoded
// arguments only; the channel it came from and the fields that libfuse 3.14 hides are here.
#pragma once

#include <sys/mman.h>
#include <memory>
#include <string>

#include "fuse/request.h"
#include "projfs/bytes.h"

namespace projfs::fuse {

class Channel;

inline constexpr std::size_t kMaxTransfer = 1 << 20;  // bytes of one READ or WRITE

// The buffers of one worker. Anonymous memory that costs nothing until touched; buffers belong to
// threads, never to mounts, so an idle mount has none. `slot`: the thread's number, see
// projfs/request_id.h.
class Buffers {
 public:
  explicit Buffers(std::uint32_t slot);
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  // Where a request is read to: a full WRITE and a page of headers (the kernel demands that room).
  [[nodiscard]] MutableBytes request() const { return {base_, kRequest}; }
  // Takes the memory for requests now: the kernel gives up a request, and lets its caller have EIO,
  // if the process is killed while it copies to a page that is not there yet.
  void populate() const;
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  // Where the payload of a reply is made.
  [[nodiscard]] MutableBytes reply() const { return {base_ + kRequest, kMaxTransfer}; }

 private:
  static constexpr std::size_t kRequest = kMaxTransfer + 4096;
  std::uint8_t* base_ = nullptr;
  const std::uint32_t slot_;
};

struct Context {
  Channel* channel = nullptr;       // null only while a new session is fed its INIT
  Request request;                  // as read
  MutableBytes scratch;             // for the payload of the reply
  std::string* captured = nullptr;  // set: replies go here and not to the channel
};

// The context of the request that this thread is inside of.
Context& context();

// Enters a request for the life of the object.
class InRequest {
 public:
  explicit InRequest(Context inside) : saved_(context()) { context() = inside; }
  ~InRequest() { context() = saved_; }
  InRequest(const InRequest&) = delete;
  InRequest& operator=(const InRequest&) = delete;

 private:
  Context saved_;
};

}  // namespace projfs::fuse
