// SPDX-License-Identifier: MIT
//
// usage: small-files DIR COUNT SIZE
//
// Creates, stats, reads, renames and unlinks COUNT files of SIZE bytes in the fresh directory DIR,
// one thread, and prints operations a second of each as one JSON object. Contents differ from file
// to file and don't compress, so that a store which deduplicates has to keep them all.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  std::fprintf(stderr, "small-files: %s: %s: %s\n", what, path.c_str(), std::strerror(errno));
  std::exit(1);
}

// xorshift64*: cheap next to a system call, and no two files are alike.
void fill(std::vector<char>& buffer, std::uint64_t seed) {
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (std::size_t i = 0; i + sizeof x <= buffer.size(); i += sizeof x) {
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    std::memcpy(&buffer[i], &x, sizeof x);
  }
}

double per_second(long count, const std::function<void(long)>& operation) {
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < count; ++i) operation(i);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(count) / took.count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || std::atol(argv[2]) <= 0 || std::atol(argv[3]) <= 0) {
    std::fprintf(stderr, "usage: small-files DIR COUNT SIZE\n");
    return 2;
  }
  const std::string dir = argv[1];
  const long count = std::atol(argv[2]);
  std::vector<char> buffer(static_cast<std::size_t>(std::atol(argv[3])));
  const auto seed = static_cast<std::uint64_t>(getpid()) << 32;
  const auto name = [&](const char* prefix, long i) { return dir + prefix + std::to_string(i); };

  if (mkdir(dir.c_str(), 0755) != 0) fail("mkdir", dir);
  const double create = per_second(count, [&](long i) {
    fill(buffer, seed + static_cast<std::uint64_t>(i));
    const std::string path = name("/file", i);
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) fail("create", path);
    if (write(fd, buffer.data(), buffer.size()) != static_cast<ssize_t>(buffer.size()))
      fail("write", path);
    if (close(fd) != 0) fail("close", path);
  });
  const double status = per_second(count, [&](long i) {
    struct stat st {};
    const std::string path = name("/file", i);
    if (stat(path.c_str(), &st) != 0) fail("stat", path);
  });
  const double read = per_second(count, [&](long i) {
    const std::string path = name("/file", i);
    const int fd = open(path.c_str(), O_RDONLY);
    if (fd < 0) fail("open", path);
    if (::read(fd, buffer.data(), buffer.size()) != static_cast<ssize_t>(buffer.size()))
      fail("read", path);
    if (close(fd) != 0) fail("close", path);
  });
  const double rename = per_second(count, [&](long i) {
    const std::string path = name("/file", i);
    if (std::rename(path.c_str(), name("/renamed", i).c_str()) != 0) fail("rename", path);
  });
  const double remove = per_second(count, [&](long i) {
    const std::string path = name("/renamed", i);
    if (unlink(path.c_str()) != 0) fail("unlink", path);
  });
  if (rmdir(dir.c_str()) != 0) fail("rmdir", dir);
  std::printf(R"({"create": %.0f, "stat": %.0f, "read": %.0f, "rename": %.0f, "unlink": %.0f})"
              "\n",
              create, status, read, rename, remove);
  return 0;
}
