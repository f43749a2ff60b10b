// SPDX-License-Identifier: MIT
#include "host/life_records.h"

#include <sys/stat.h>
#include <unistd.h>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/text.h"
#include "projfs/log.h"

namespace projfs {
namespace {

using nlohmann::json;
constexpr int kFormat = 1;

std::optional<Life> decode(const std::string& text) {
  const auto document = json::parse(text, nullptr, false);
  if (!document.is_object() || document.value("format", 0) != kFormat) return std::nullopt;
  try {
    const auto state = life_state(document.at("state").get<std::string>());
    if (!state) return std::nullopt;
    Life life;
    life.state = *state;
    life.since_ns = document.at("since_ns").get<std::int64_t>();
    if (const auto& error = document.at("error"); !error.is_null())
      life.error = error.get<std::string>();
    return life;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::string encode(const Life& life) {
  const json document = {{"format", kFormat},
                         {"state", name_of(life.state)},
                         {"since_ns", life.since_ns},
                         {"error", life.error ? json(*life.error) : json(nullptr)}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// What a state that somebody was at work in means when nobody is any more.
Life over(Life life) {
  if (!is_passing(life.state)) return life;
  const bool starting = life.state == LifeState::kStarting || life.state == LifeState::kRestarting;
  if (starting && !life.error)
    life.error = "the daemon ended while it was being started; start it again";
  life.state = starting ? LifeState::kError : LifeState::kStopped;
  return life;
}

}  // namespace

Life& LifeRecords::load(const std::string& id) {
  if (const auto known = lives_.find(id); known != lives_.end()) return known->second;
  Life life;
  if (std::ifstream in(path(id)); in) {
    std::stringstream text;
    text << in.rdbuf();
    if (auto read = decode(text.str())) {
      life = over(*std::move(read));
    } else {
      log::warn("{}: what {} says of its state cannot be understood and is left out of account", id,
                path(id));
    }
  }
  return lives_.emplace(id, std::move(life)).first->second;
}

// Not synced: after power loss the mount table says what is to run, and this is remembered of a
// moment before or not at all.
void LifeRecords::save(const std::string& id, const Life& life) const {
  ::mkdir(directory_.c_str(), 0700);
  const std::string fresh = directory_ + "/." + id;  // no id starts with a dot
  std::ofstream out(fresh, std::ios::trunc);
  out << encode(life);
  out.close();
  if (!out || std::rename(fresh.c_str(), path(id).c_str()) != 0)
    log::warn("{}: cannot remember its state in {}: {}", id, directory_,
              std::generic_category().message(errno));
}

Life LifeRecords::of(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return load(id);
}

Status LifeRecords::enter(const std::string& id, LifeState to, std::optional<std::string> step,
                          std::optional<std::string> error) {
  LifeState from{};
  Life now;
  {
    const std::lock_guard lock(mutex_);
    auto& life = load(id);
    from = life.state;
    if (is_passing(from) && is_passing(to) && !may_follow(from, to)) {
      return fail(EBUSY, "it is " + std::string(name_of(from)) +
                             (life.step ? " (" + *life.step + ")" : std::string()) +
                             " at this moment; try again when that is done");
    }
    if (!may_follow(from, to)) {
      return fail(EBUSY, "it is " + std::string(name_of(from)) + ", and " +
                             std::string(name_of(to)) + " cannot follow that");
    }
    life = {.state = to,
            .since_ns = now_ns(),
            .step = std::move(step),
            .progress = std::nullopt,
            .error = std::move(error)};
    save(id, life);
    now = life;
  }
  if (listener_) listener_(id, from, now);
  return {};
}

bool LifeRecords::enter_from(const std::string& id, LifeState from, LifeState to) {
  Life now;
  {
    const std::lock_guard lock(mutex_);
    auto& life = load(id);
    if (life.state != from || !may_follow(from, to)) return false;
    life = {.state = to, .since_ns = now_ns(), .step = {}, .progress = {}, .error = {}};
    save(id, life);
    now = life;
  }
  if (listener_) listener_(id, from, now);
  return true;
}

void LifeRecords::step(const std::string& id, std::string what, std::optional<double> progress) {
  const std::lock_guard lock(mutex_);
  auto& life = load(id);
  life.step = std::move(what);
  life.progress = progress;
}

void LifeRecords::forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  lives_.erase(id);
  ::unlink(path(id).c_str());
}

}  // namespace projfs
