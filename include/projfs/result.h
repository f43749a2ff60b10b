// SPDX-License-Identifier: MIT
//
// Errors are values. An Error carries the POSIX errno an application would see and a sentence for
// the person who reads the log or the terminal. No exception crosses a layer.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <utility>

namespace projfs {

struct Error {
  int code = EIO;       // a POSIX errno, never 0
  std::string message;  // a sentence naming the thing; empty where errno says it all

  [[nodiscard]] std::string describe() const {
    return message.empty() ? std::generic_category().message(code) : message;
  }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(int code, std::string message = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// "<what>: <strerror>", for a system call that just failed with `code`.
[[nodiscard]] inline tl::unexpected<Error> fail_errno(std::string_view what, int code = errno) {
  return fail(code, std::string(what) + ": " + std::generic_category().message(code));
}

}  // namespace projfs

#define PROJFS_CONCAT_INNER(a, b) a##b
#define PROJFS_CONCAT(a, b) PROJFS_CONCAT_INNER(a, b)

// Returns the error of `expr` (a Status or Result) from the enclosing function, if it has one.
#define PROJFS_TRY(expr)                                                      \
  do {                                                                        \
    auto&& projfs_try_ = (expr);                                              \
    if (!projfs_try_) [[unlikely]]                                            \
      return tl::unexpected<::projfs::Error>(std::move(projfs_try_).error()); \
  } while (false)

// Binds `lhs` to the value of `expr`, or returns its error from the enclosing function.
#define PROJFS_ASSIGN(lhs, expr) PROJFS_ASSIGN_IMPL(PROJFS_CONCAT(projfs_res_, __LINE__), lhs, expr)
#define PROJFS_ASSIGN_IMPL(tmp, lhs, expr)                          \
  auto&& tmp = (expr);                                              \
  if (!tmp) [[unlikely]]                                            \
    return tl::unexpected<::projfs::Error>(std::move(tmp).error()); \
  lhs = *std::move(tmp)
