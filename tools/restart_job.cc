// SPDX-License-Identifier: MIT
#include "restart_job.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "projfs/log.h"

namespace projfs {
namespace {

constexpr const char* kSystemd = "org.freedesktop.systemd1";
constexpr std::uint64_t kPatience = 2'000'000;  // microseconds

struct Closer {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, Closer>;

// systemd's own socket: there even where no message bus runs.
Bus connect() {
  sd_bus* made = nullptr;
  if (sd_bus_new(&made) < 0) return nullptr;
  Bus bus(made);
  if (sd_bus_set_address(made, "unix:path=/run/systemd/private") < 0) return nullptr;
  sd_bus_set_method_call_timeout(made, kPatience);
  return sd_bus_start(made) < 0 ? nullptr : std::move(bus);
}

std::string job_type(sd_bus* bus, const char* unit) {
  sd_bus_message* answer = nullptr;
  std::string type;
  if (sd_bus_get_property(bus, kSystemd, unit, "org.freedesktop.systemd1.Unit", "Job", nullptr,
                          &answer, "(uo)") >= 0) {
    std::uint32_t number = 0;
    const char* job = nullptr;
    char* text = nullptr;
    if (sd_bus_message_read(answer, "(uo)", &number, &job) >= 0 && number != 0 &&
        sd_bus_get_property_string(bus, kSystemd, job, "org.freedesktop.systemd1.Job", "JobType",
                                   nullptr, &text) >= 0)
      type = text;
    std::free(text);
  }
  sd_bus_message_unref(answer);
  return type;
}

}  // namespace

bool systemd_restarts_us(std::size_t descriptors) {
  if (std::getenv("INVOCATION_ID") == nullptr) return false;
  char* name = nullptr;
  if (sd_pid_get_unit(0, &name) < 0) return false;
  const std::unique_ptr<char, decltype(&std::free)> unit(name, &std::free);
  char* path = nullptr;
  if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.get(), &path) < 0) return false;
  const std::unique_ptr<char, decltype(&std::free)> object(path, &std::free);
  const Bus bus = connect();
  if (!bus) {
    log::warn("cannot ask systemd whether it stops or restarts {}: the mounts end", unit.get());
    return false;
  }
  if (job_type(bus.get(), object.get()) != "restart") return false;
  std::uint32_t kept = 0;
  if (sd_bus_get_property_trivial(bus.get(), kSystemd, object.get(),
                                  "org.freedesktop.systemd1.Service", "NFileDescriptorStore",
                                  nullptr, 'u', &kept) < 0)
    return false;
  if (kept >= descriptors) return true;
  log::warn(
      "systemd keeps {} of {} mounts, FileDescriptorStoreMax= in the unit is too low: they end",
      kept, descriptors);
  return false;
}

}  // namespace projfs
