// SPDX-License-Identifier: MIT
//
// The arguments of an admin request, taken one by one: a wrong type is an error at once, and what
// nobody took is an unknown argument.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "host/admin_service.h"
#include "projfs/result.h"

namespace projfs {

class AdminService::Arguments {
 public:
  // REQUIRES: `request` is an object that outlives this.
  explicit Arguments(const nlohmann::json& request) : request_(request) { taken_.insert("verb"); }

  // Each takes one argument; problems are told by done().
  std::string text(const char* name) {
    const auto value = find(name, true);
    if (value == nullptr) return {};
    if (!value->is_string()) return wrong(name, "a string"), std::string();
    return value->get<std::string>();
  }
  std::optional<std::string> optional_text(const char* name) {
    if (find(name, false) == nullptr) return std::nullopt;
    return text(name);
  }
  bool flag(const char* name) {
    const auto value = find(name, false);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return wrong(name, "true or false"), false;
    return value->get<bool>();
  }
  std::optional<std::uint64_t> number(const char* name) {
    const auto value = find(name, false);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer() ||
        (!value->is_number_unsigned() && value->get<std::int64_t>() < 0))
      return wrong(name, "a whole number"), std::nullopt;
    return value->get<std::uint64_t>();
  }
  // A number, or null for no limit.
  std::optional<std::uint64_t> limit(const char* name) {
    if (request_.contains(name) && request_[name].is_null()) {
      taken_.insert(name);
      return kUnlimited;
    }
    return number(name);
  }

  // EINVAL with a sentence if anything was missing, wrong or left over.
  Status done() const {
    if (!problem_.empty()) return fail(EINVAL, problem_);
    for (const auto& [name, value] : request_.items()) {
      if (!taken_.contains(name))
        return fail(EINVAL, "unknown argument '" + name + "'; docs/admin-protocol.md lists them");
    }
    return {};
  }

 private:
  const nlohmann::json* find(const char* name, bool required) {
    taken_.insert(name);
    const auto at = request_.find(name);
    if (at != request_.end()) return &*at;
    if (required && problem_.empty())
      problem_ = std::string("the argument '") + name + "' is missing";
    return nullptr;
  }
  void wrong(const char* name, const char* wanted) {
    if (problem_.empty()) problem_ = std::string("the argument '") + name + "' must be " + wanted;
  }

  const nlohmann::json& request_;
  std::set<std::string, std::less<>> taken_;
  std::string problem_;
};

}  // namespace projfs
