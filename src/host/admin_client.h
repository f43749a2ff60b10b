// SPDX-License-Identifier: MIT
//
// The other end of the admin socket: one request, its progress, its answer.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "projfs/result.h"

namespace projfs {

using ProgressSink = std::function<void(double share, const std::string& step)>;
using ItemSink = std::function<void(const nlohmann::json& item)>;

// Sends `request` to the daemon at `socket` and waits for the answer: the object under "ok" (after
// the items of an answer that comes in parts), or the
// error with the daemon's own sentence. ECONNREFUSED with a sentence when no daemon answers there.
Result<nlohmann::json> ask_daemon(const std::string& socket, const nlohmann::json& request,
                                  const ProgressSink& progress, const ItemSink& items = {});

}  // namespace projfs
