// SPDX-License-Identifier: MIT
// projfs-supervise: runs projfsd where systemd does not, and keeps its mounts while it is
// restarted. See projfs-supervise(8).
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "exit_status.h"
#include "notify_socket.h"

namespace {

using projfs::Descriptor;
using projfs::NotifySocket;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kShortLife = std::chrono::seconds(1);
constexpr milliseconds kFirstPause{100}, kLongestPause{10'000};

constexpr const char* kUsage =
    "Runs projfsd, starts it again when it is killed, and keeps its mounts meanwhile: "
    "applications\n"
    "wait instead of failing.\n\n"
    "Usage: projfs-supervise [--watchdog SECONDS] PROGRAM [ARGUMENT...]\n\n"
    "  --watchdog SECONDS  Kill the program when it has not got on for so long (default: never)\n"
    "  --help, --version\n";

void say(const std::string& what) { std::fprintf(stderr, "projfs-supervise: %s\n", what.c_str()); }

class Supervisor {
 public:
  Supervisor(std::vector<std::string> command, milliseconds watchdog)
      : command_(std::move(command)), watchdog_(watchdog) {}

  int run();

 private:
  bool prepare();
  bool start();
  [[noreturn]] void become_program();
  // Until the program ends; its wait status. nullopt: nothing can be waited for.
  std::optional<int> look_after();
  void take_messages();
  // The exit status, if it is not to be started again.
  std::optional<int> judge(int status);
  bool pause();  // false: told to end
  void forward(bool running);

  const std::vector<std::string> command_;
  const milliseconds watchdog_;
  NotifySocket socket_;
  Descriptor signals_;
  sigset_t before_{};
  pid_t program_ = 0;
  bool told_to_end_ = false, ready_ = false;
  Clock::time_point started_, heard_;
  milliseconds pause_{0};
};

bool Supervisor::prepare() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  sigset_t taken;
  sigemptyset(&taken);
  for (const int one : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&taken, one);
  ::sigprocmask(SIG_BLOCK, &taken, &before_);
  signals_ = Descriptor(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  auto socket = NotifySocket::open();
  if (!signals_ || !socket) {
    say(socket ? "cannot take signals" : socket.error().describe());
    return false;
  }
  socket_ = std::move(*socket);
  return true;
}

void Supervisor::become_program() {
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  ::setenv("NOTIFY_SOCKET", socket_.address().c_str(), 1);
  ::setenv("FDSTORE", "65536", 1);
  ::unsetenv("INVOCATION_ID");  // of systemd, should it have started us
  ::unsetenv("WATCHDOG_USEC");
  ::unsetenv("WATCHDOG_PID");
  if (watchdog_.count() != 0) {
    ::setenv("WATCHDOG_USEC", std::to_string(watchdog_.count() * 1000).c_str(), 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  }
  if (const int error = projfs::hand_descriptors_on(socket_.kept())) {
    say(std::string("cannot hand the descriptors on: ") + std::strerror(error));
    ::_exit(projfs::kFailed);
  }
  std::vector<char*> argv;
  argv.reserve(command_.size() + 1);
  for (const auto& word : command_) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  say(std::string("cannot run ") + argv[0] + ": " + std::strerror(errno));
  ::_exit(projfs::kFailed);
}

bool Supervisor::start() {
  program_ = ::fork();
  if (program_ == 0) become_program();
  if (program_ < 0) {
    say(std::string("cannot start a process: ") + std::strerror(errno));
    return false;
  }
  started_ = heard_ = Clock::now();
  ready_ = false;
  return true;
}

void Supervisor::forward(bool running) {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int which = static_cast<int>(info.ssi_signo);
    if (which == SIGCHLD) continue;
    if (which == SIGTERM || which == SIGINT) told_to_end_ = true;
    if (running) ::kill(program_, which == SIGINT ? SIGTERM : which);
  }
}

void Supervisor::take_messages() {
  while (const auto message = socket_.receive(program_)) {
    if (message->ready && !ready_) {
      ready_ = true;
      heard_ = Clock::now();
      ::sd_notify(0, "READY=1");  // to whoever started us
    }
    if (message->watchdog) heard_ = Clock::now();
  }
}

std::optional<int> Supervisor::look_after() {
  for (;;) {
    int timeout = -1;
    if (watchdog_.count() != 0 && ready_) {
      const auto left =
          std::chrono::duration_cast<milliseconds>(heard_ + watchdog_ - Clock::now()).count();
      if (left <= 0) {
        say("the program does not get on with its work; killing it");
        ::kill(program_, SIGKILL);
        ready_ = false;
        continue;
      }
      timeout = static_cast<int>(left) + 1;
    }
    pollfd watched[] = {{signals_.get(), POLLIN, 0}, {socket_.fd(), POLLIN, 0}};
    if (::poll(watched, 2, timeout) < 0 && errno != EINTR) return std::nullopt;
    take_messages();
    forward(true);
    int status = 0;
    const pid_t ended = ::waitpid(program_, &status, WNOHANG);
    if (ended < 0) return std::nullopt;
    if (ended == program_) {
      take_messages();  // its last ones
      return status;
    }
  }
}

std::optional<int> Supervisor::judge(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) != projfs::kRestartMe) return WEXITSTATUS(status);
  if (WIFEXITED(status) && !told_to_end_) {
    pause_ = milliseconds(0);
    return std::nullopt;
  }
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (told_to_end_) return signal == 0 ? projfs::kFailed : 128 + signal;
  if (Clock::now() - started_ >= kShortLife) {
    pause_ = milliseconds(0);
  } else {
    pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
  }
  say("the program was ended by signal " + std::to_string(signal) + "; starting it again" +
      (pause_.count() == 0 ? std::string() : " in " + std::to_string(pause_.count()) + " ms") +
      ", " + std::to_string(socket_.kept().size()) + " mounts wait for it");
  return std::nullopt;
}

bool Supervisor::pause() {
  const auto end = Clock::now() + pause_;
  while (!told_to_end_) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
    if (left <= 0) return true;
    pollfd watched{signals_.get(), POLLIN, 0};
    ::poll(&watched, 1, static_cast<int>(left));
    forward(false);
  }
  return false;
}

int Supervisor::run() {
  if (!prepare()) return projfs::kFailed;
  for (;;) {
    if (!start()) return projfs::kFailed;
    const auto status = look_after();
    if (!status) return projfs::kFailed;
    if (const auto exit_status = judge(*status)) return *exit_status;
    if (!pause()) return projfs::kFailed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  double watchdog = 0;
  int at = 1;
  const auto wrong = [](const std::string& what) {
    say(what + "; 'projfs-supervise --help' shows the usage");
    return projfs::kWrongUsage;
  };
  for (; at < argc && argv[at][0] == '-'; ++at) {
    const std::string option = argv[at];
    if (option == "--") {
      ++at;
      break;
    }
    if (option == "--help" || option == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (option == "--version") {
      std::puts(PROJFS_VERSION);
      return 0;
    }
    if (option != "--watchdog") return wrong(option + ": no such option");
    char* end = nullptr;
    if (++at < argc) watchdog = std::strtod(argv[at], &end);
    if (end == nullptr || *end != '\0' || !(watchdog > 0 && watchdog < 86400))
      return wrong("--watchdog wants a number of seconds");
  }
  if (at >= argc) return wrong("which program is to be run?");
  return Supervisor({argv + at, argv + argc}, milliseconds(static_cast<long>(watchdog * 1000)))
      .run();
}
