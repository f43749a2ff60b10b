// SPDX-License-Identifier: MIT
//
// Which request of a kernel a thread is carrying out, for operations that must not be done twice.
// A kernel that lost its server gives the next one its unanswered requests again; what of them was
// done already is known by a record that an operation commits together with its change. The record
// needs to live only until the request is answered, and a thread answers one request before it
// begins the next: so each thread has one, its `slot`, and overwrites it.
//
// The id is opaque to everything below the FUSE edge.
#pragma once

#include <compare>
#include <cstdint>

namespace projfs {

struct RequestId {
  std::uint64_t connection = 0;  // of a kernel; never given to another one
  std::uint64_t unique = 0;      // of a request of this connection
  friend auto operator<=>(const RequestId&, const RequestId&) = default;
};

// The request that the calling thread is carrying out; null: none whose answer has to be recorded.
struct RecordedRequest {
  RequestId id;
  std::uint32_t slot = 0;  // no other thread has it
};
[[nodiscard]] const RecordedRequest* recorded_request();

// Enters a request for the life of the object.
class CarryingOut {
 public:
  explicit CarryingOut(const RecordedRequest& request);
  ~CarryingOut();
  CarryingOut(const CarryingOut&) = delete;
  CarryingOut& operator=(const CarryingOut&) = delete;

 private:
  const RecordedRequest request_;
  const RecordedRequest* const before_;
};

}  // namespace projfs
