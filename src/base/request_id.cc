// SPDX-License-Identifier: MIT
#include "projfs/request_id.h"

namespace projfs {
namespace {

thread_local const RecordedRequest* current = nullptr;

}  // namespace

const RecordedRequest* recorded_request() { return current; }

CarryingOut::CarryingOut(const RecordedRequest& request) : request_(request), before_(current) {
  current = &request_;
}

CarryingOut::~CarryingOut() { current = before_; }

}  // namespace projfs
