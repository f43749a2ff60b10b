// SPDX-License-Identifier: MIT
//
// usage: engine-operations DIRECTORY [COUNT [SNAPSHOTS]]
//
// Makes a store in DIRECTORY (missing or empty; left there) and prints what one operation of the
// engine costs this thread, without FUSE: processor time and time on the clock, in microseconds.
// Ingestion and everything else in the background is off. Profile it with perf record. SNAPSHOTS:
// so many are there already, and of nothing that the operations change.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "projfs/store.h"

namespace {

using namespace projfs;

double microseconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

template <class R>
R must(R result, const char* what) {
  if (result) return result;
  std::fprintf(stderr, "engine-operations: %s: %s\n", what, result.error().describe().c_str());
  std::exit(1);
}

void measure(const char* name, std::size_t count, const std::function<void(std::size_t)>& once) {
  const double cpu = microseconds(CLOCK_THREAD_CPUTIME_ID);
  const double wall = microseconds(CLOCK_MONOTONIC);
  for (std::size_t i = 0; i < count; ++i) once(i);
  const auto n = static_cast<double>(count);
  std::printf("%-24s %8.2f %8.2f\n", name, (microseconds(CLOCK_THREAD_CPUTIME_ID) - cpu) / n,
              (microseconds(CLOCK_MONOTONIC) - wall) / n);
  std::fflush(stdout);
}

// A kernel that knows nothing: unlinked files go at FORGET, as they do with a mount.
struct Forgetful final : Volume::KernelView {
  bool knows(Ino /*ino*/) override { return false; }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: engine-operations DIRECTORY [COUNT [SNAPSHOTS]]\n");
    return 2;
  }
  const std::size_t count = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 20000;
  must(Store::init(Env::posix(), argv[1]), "init");
  Store::Options options;
  options.background = false;
  const auto store = std::move(*must(Store::open(argv[1], options), "open"));
  ProjectSpec spec;
  spec.id = "p";
  must(store->create(spec), "create");
  const auto volume = *must(store->volume("p"), "volume");
  Forgetful kernel;
  volume->set_kernel_view(&kernel);

  std::mt19937_64 random(1);
  std::vector<std::uint8_t> data(1 << 20);
  for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
  const auto block = [&](std::size_t i) { return Bytes(data).subspan(i * 7 % 1000000, kBlock); };
  const auto dir = must(volume->mkdir(kRootIno, "d", 0755, {}), "mkdir")->ino;
  const auto name = [](const char* prefix, std::size_t i) { return prefix + std::to_string(i); };

  const std::size_t snapshots = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 0;
  const auto made = *must(store->snapshots("p"), "snapshots");
  for (std::size_t i = 0; i < snapshots; ++i) {
    must(volume->mknod(kRootIno, name("before", i), 0100644, 0, {}), "mknod");
    must(made->create(name("s", i), false), "snapshot");
  }
  std::printf("%-24s %8s %8s\n", "us for one", "cpu", "clock");
  std::vector<Ino> files(count);
  measure("create", count, [&](std::size_t i) {
    files[i] = must(volume->mknod(dir, name("file", i), 0100644, 0, {}), "mknod")->ino;
  });
  measure("first write of 4 KiB", count,
          [&](std::size_t i) { must(volume->write(files[i], 0, block(i), false), "write"); });
  measure("lookup", count,
          [&](std::size_t i) { must(volume->lookup(dir, name("file", i)), "lookup"); });
  measure("lookup, no such name", count,
          [&](std::size_t i) { (void)volume->lookup(dir, name("none", i)); });
  measure("chmod", count, [&](std::size_t i) {
    AttrChange change;
    change.mode = 0600;
    must(volume->setattr(files[i], change, {}), "setattr");
  });
  measure("rename", count, [&](std::size_t i) {
    must(volume->rename(dir, name("file", i), dir, name("renamed", i), 0), "rename");
  });
  measure("readdirplus, whole", 1, [&](std::size_t /*i*/) {
    must(volume->readdir(dir, 0, true, [](const DirEntry&, const Attr*) { return true; }),
         "readdir");
  });
  measure("unlink", count,
          [&](std::size_t i) { must(volume->unlink(dir, name("renamed", i)), "unlink"); });
  measure("forget", count, [&](std::size_t i) { volume->forget(files[i]); });

  const auto big = must(volume->mknod(kRootIno, "big", 0100644, 0, {}), "mknod")->ino;
  const auto blocks = 3 * count;
  const auto read = [&](std::size_t offset, std::size_t size) {
    must(volume->read(big, offset, MutableBytes(data).first(size)), "read");
  };
  measure("append 4 KiB", blocks,
          [&](std::size_t i) { must(volume->write(big, i * kBlock, block(i), false), "write"); });
  measure("overwrite 4 KiB", blocks, [&](std::size_t i) {
    must(volume->write(big, random() % blocks * kBlock, block(i), false), "write");
  });
  measure("read 4 KiB, staged", blocks,
          [&](std::size_t /*i*/) { read(random() % blocks * kBlock, kBlock); });
  measure("ingest, whole", 1, [&](std::size_t /*i*/) { must(store->ingest_all(), "ingest"); });
  measure("random read 4 KiB", blocks / 4,
          [&](std::size_t /*i*/) { read(random() % blocks * kBlock, kBlock); });
  measure("sequential read 4 KiB", blocks, [&](std::size_t i) { read(i * kBlock, kBlock); });
  measure("sequential read 128 KiB", blocks / 32, [&](std::size_t i) { read(i << 17, 1 << 17); });
  measure("sequential read 1 MiB", blocks / 256, [&](std::size_t i) { read(i << 20, 1 << 20); });
}
