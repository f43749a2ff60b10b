# SPDX-License-Identifier: MIT
"""What snapshots cost: to make one by the size of a project and by how many there are, to list, look into
and delete them, and whether those that are there slow the head down. On projfs, and on btrfs where it has
the same."""
import fcntl
import json
import os
import random
import statistics
import struct
import time

from machine import call
from systems import Btrfs, Projfs

MOST_SECONDS = 240  # for making many on one system; what is missing then is not shown


class OnProjfs(Projfs):
    """As its users do it: mkdir, rmdir."""

    def start(self):
        super().start()
        self.admin("snapshot", "policy", self.PROJECT, "--off")
        self.shelf = os.path.join(self.path, ".snapshots")
        self.tree = self.path

    def snapshot(self, name):
        os.mkdir(os.path.join(self.shelf, name))

    def delete(self, name):
        os.rmdir(os.path.join(self.shelf, name))


class OnBtrfs(Btrfs):
    """By the ioctls, since a process for each would be most of the time."""
    CREATE, DESTROY = 0x50009417, 0x5000940F

    def start(self):
        super().start()
        self.tree, self.shelf = os.path.join(self.path, "tree"), os.path.join(self.path, "shelf")
        call("btrfs", "subvolume", "create", self.tree)
        os.mkdir(self.shelf)
        self.fds = [os.open(path, os.O_RDONLY) for path in (self.tree, self.shelf)]

    def stop(self):
        for fd in getattr(self, "fds", []):
            os.close(fd)
        self.fds = []
        super().stop()

    def snapshot(self, name):
        fcntl.ioctl(self.fds[1], self.CREATE,
                    struct.pack("qQQ32s4040s", self.fds[0], 0, 2, b"", name.encode()))  # 2: read-only

    def delete(self, name):
        fcntl.ioctl(self.fds[1], self.DESTROY, struct.pack("q4088s", 0, name.encode()))


def fill(system, count):
    for i in range(count):
        if i % 1000 == 0:
            directory = os.path.join(system.tree, "d%d" % (i // 1000))
            os.mkdir(directory)
        os.close(os.open(os.path.join(directory, "f%d" % i), os.O_CREAT | os.O_WRONLY))


def change(system, i):
    with open(os.path.join(system.tree, "d0", "f%d" % (i % 50)), "w", encoding="ascii") as file:
        file.write(str(i))


def ms(work):
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1000


def some(system, first, count):
    """The median of making `count` snapshots, with a change before each."""
    times = []
    for i in range(first, first + count):
        change(system, i)
        times.append(ms(lambda name="s%06d" % i: system.snapshot(name)))
    return statistics.median(times)


def by_size(kind, options, sizes):
    out = {}
    for size in sizes:
        system = kind(options.work, options.build)
        try:
            system.start()
            fill(system, size)
            system.settle()
            out[size] = some(system, 0, 20)
        finally:
            system.stop()
    return out


def look(system, names):
    for name in names:
        with open(os.path.join(system.shelf, name, "d0", "f1"), "rb") as file:
            file.read()
        os.listdir(os.path.join(system.shelf, name, "d0"))


def by_number(kind, options, numbers):
    """With so many there are: making, listing, looking into and deleting one, in ms."""
    out = {}
    system = kind(options.work, options.build)
    chance = random.Random(1)
    try:
        system.start()
        fill(system, 1000)
        system.settle()
        made, started = 0, time.monotonic()
        for number in numbers:
            while made < number and time.monotonic() - started < MOST_SECONDS:
                change(system, made)
                system.snapshot("s%06d" % made)
                made += 1
            if made < number:
                break
            row = out[number] = {"create": some(system, made, 20)}
            made += 20
            system.settle()
            row["list"] = statistics.median(ms(lambda: os.listdir(system.shelf)) for _ in range(5))
            names = ["s%06d" % i for i in chance.sample(range(made), 20)]
            row["look"] = ms(lambda: look(system, names)) / len(names)
            gone = chance.sample(os.listdir(system.shelf), 20)
            row["delete"] = statistics.median(ms(lambda n=name: system.delete(n)) for name in gone)
    finally:
        system.stop()
    return out


def write_rate(path):
    """4 KiB writes into one file, over and over, a second."""
    data, count = os.urandom(4096), 20000
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    start = time.monotonic()
    for i in range(count):
        os.pwrite(fd, data, i % 4096 * 4096)
    took = time.monotonic() - start
    os.close(fd)
    os.unlink(path)
    return count / took


def live(options, given, snapshots, repeat):
    """The work of one program on a project without snapshots, and on one with many that are not changed:
    alternately, so that neighbours do the same to both."""
    system = OnProjfs(options.work, options.build)
    samples = {"without": {}, "with": {}}
    try:
        system.start()
        system.admin("create", "other")
        system.admin("snapshot", "policy", "other", "--off")
        paths = {"with": system.path, "without": os.path.join(system.root, "other")}
        fill(system, 1000)
        for i in range(snapshots):
            change(system, i)
            system.snapshot("s%06d" % i)
        for repetition in range(repeat):
            for which in ("without", "with") if repetition % 2 else ("with", "without"):
                system.settle()
                rates = json.loads(call(given.small_files, os.path.join(paths[which], "files"),
                                        str(given.file_count), "4096"))
                rates["write"] = write_rate(os.path.join(paths[which], "written"))
                for key in ("create", "write", "rename", "unlink"):
                    samples[which].setdefault(key, []).append(rates[key])
    finally:
        system.stop()
    return {which: {key: statistics.median(values) for key, values in rates.items()}
            for which, rates in samples.items()}


def measure(options, given, say):
    sizes = (100, 2000, 20000) if options.quick else (100, 10000, 1000000)
    numbers = (1, 100, 500) if options.quick else (1, 100, 10000)
    kinds = {"projfs": OnProjfs, "btrfs": OnBtrfs}
    out = {"sizes": {}, "numbers": {}}
    for name, kind in kinds.items():
        if options.on and name not in options.on.split(","):
            continue
        say("snapshots by size on " + name)
        out["sizes"][name] = by_size(kind, options, sizes)
        say("snapshots by number on " + name)
        out["numbers"][name] = by_number(kind, options, numbers)
    say("the live path next to snapshots")
    out["live"] = live(options, given, 100 if options.quick else 1000, options.repeat or (2 if options.quick else 5))
    return out


def lines(found):
    """The tables, for the report."""
    if not found:
        return []
    systems = list(found["sizes"])
    out = ["| | " + " | ".join(systems) + " |", "|---|" + "---:|" * len(systems)]

    def row(label, values):
        out.append("| %s | %s |" % (label, " | ".join(
            "–" if value is None else "%.2f ms" % value for value in values)))

    for size in found["sizes"][systems[0]]:
        row("make one of a project of {:,} files".format(int(size)),
            [found["sizes"][name].get(size) for name in systems])
    labels = {"create": "make one more", "list": "list them", "look": "read a file and list a directory in one",
              "delete": "delete one"}
    for number in found["numbers"][systems[0]]:
        for key, label in labels.items():
            row("with {:,} there: {}".format(int(number), label),
                [found["numbers"][name].get(number, {}).get(key) for name in systems])
    for key, rate in found["live"]["with"].items():
        without = found["live"]["without"][key]
        out.append("| projfs, head with unchanged snapshots: %s | %.0f/s, without any %.0f/s (%+.1f %%) |%s" % (
            key, rate, without, (rate / without - 1) * 100, " |" * (len(systems) - 1)))
    return out
