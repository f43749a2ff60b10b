// SPDX-License-Identifier: MIT
//
// Logging: spdlog behind one include, so that the sink and format are chosen in one place.
#pragma once

#include <spdlog/spdlog.h>

namespace projfs::log {
using spdlog::critical;
using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;
}  // namespace projfs::log
