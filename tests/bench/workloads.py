# SPDX-License-Identifier: MIT
"""The work that is measured. A workload is done on a system that was started for it and is empty, and
returns a measurement for each of its rows. Times are of the work alone: `settle` and `cold` of the
system come before it, so that no work pays for what an earlier one left behind.
"""
import json
import os
import sys
import time
from dataclasses import dataclass, field

from machine import call, cpu_of, memory_of, timed

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Row:
    key: str
    label: str
    unit: str  # s: less is better; /s, MB/s: more is better; MiB: less is better
    alone: str = ""  # what it is called where the rows above it are missing

    @property
    def more_is_better(self):
        return self.unit.endswith("/s")

    @property
    def name(self):
        return self.alone or self.label


@dataclass
class Measured:
    value: float
    client: float = 0.0  # processor seconds of the program that did the work
    daemon: float = 0.0  # and of the processes that served it meanwhile


@dataclass
class Inputs:
    """What the workloads work on, made once and outside of any timing."""
    build: str
    small_files: str
    tar: str = ""
    top: str = ""  # the directory that the tar file unpacks to
    grep: str = "drivers"
    subtree: str = "drivers/net"
    versions: str = ""
    file_count: int = 20000
    seconds: float = 2.0
    megabytes: int = 512
    projects: int = 1000
    idle_seconds: float = 30.0
    memory: dict = field(default_factory=dict)


def served_by(system):
    return sum(cpu_of(pid) for pid in system.pids)


def clocked(system, *argv, cwd=None, accept=(0,)):
    before = served_by(system)
    took, client = timed(*argv, cwd=cwd, accept=accept)
    return Measured(took, client, served_by(system) - before)


def again(system, times, *argv, **options):
    """The median of several runs."""
    runs = [clocked(system, *argv, **options) for _ in range(times)]
    return sorted(runs, key=lambda run: run.value)[len(runs) // 2]


TREE_ROWS = [
    Row("unpack", "unpack a source tree (tar -x)", "s"),
    Row("unpack+sync", "the same, and then sync", "s", "unpack and sync"),
    Row("find cold restarted", "find + stat, cold, daemon restarted", "s"),
    Row("find cold", "find + stat, cold", "s"),
    Row("find warm", "find + stat, warm", "s"),
    Row("grep cold", "grep -r drivers/, cold", "s"),
    Row("grep warm", "grep -r drivers/, warm", "s"),
    Row("cp", "cp -r drivers/net", "s"),
    Row("git add", "git add -A (drivers/net)", "s"),
    Row("git status", "git status (drivers/net)", "s"),
    Row("rm", "rm -rf of the source tree", "s"),
]


def tree(system, inputs):
    rows = {}
    os.sync()
    unpack = clocked(system, "tar", "-xf", inputs.tar, "-C", system.path)
    synced = clocked(system, "sync", "-f", system.path)
    rows["unpack"] = unpack
    rows["unpack+sync"] = Measured(unpack.value + synced.value, unpack.client + synced.client,
                                   unpack.daemon + synced.daemon)
    before = served_by(system)
    unpacked = memory_of(system.pids[0]) if system.pids else None
    system.settle()
    rows["background"] = Measured(served_by(system) - before)
    if unpacked:
        settled = memory_of(system.pids[0])
        inputs.memory.setdefault(system.name, []).append(
            {"rss": unpacked[0], "rss_settled": settled[0], "highest": settled[1]})

    top = os.path.join(system.path, inputs.top)
    find = ("find", top, "-printf", "%s %m %T@\n")
    system.restart()
    rows["find cold restarted"] = clocked(system, *find)
    system.cold()
    rows["find cold"] = clocked(system, *find)
    rows["find warm"] = again(system, 3, *find)

    # The text is nowhere, and grep must not stop at the first line because nobody reads its output.
    grep = ("env", "LC_ALL=C", "grep", "-rF", "no line of the source says this", inputs.grep)
    system.cold()
    rows["grep cold"] = clocked(system, *grep, cwd=top, accept=(1,))
    rows["grep warm"] = again(system, 3, *grep, cwd=top, accept=(1,))

    copy = os.path.join(system.path, "copy")
    os.sync()
    rows["cp"] = clocked(system, "cp", "-r", os.path.join(top, inputs.subtree), copy)
    call("git", "init", "-q", copy)
    system.settle()
    rows["git add"] = clocked(system, "git", "-c", "gc.auto=0", "add", "-A", cwd=copy)
    rows["git status"] = again(system, 3, "git", "status", "--porcelain", cwd=copy)
    system.settle()
    rows["rm"] = clocked(system, "rm", "-rf", top)
    return rows


FILES_ROWS = [
    Row("create", "create 4 KiB files", "/s"),
    Row("stat", "stat them", "/s", "stat of 4 KiB files"),
    Row("read", "open, read, close", "/s"),
    Row("rename", "rename", "/s", "rename in a large directory"),
    Row("unlink", "unlink", "/s", "unlink in a large directory"),
]


def files(system, inputs):
    os.sync()
    rates = json.loads(call(inputs.small_files, os.path.join(system.path, "files"),
                            str(inputs.file_count), "4096"))
    return {key: Measured(rate) for key, rate in rates.items()}


FIO_ROWS = [
    Row("write 1M", "sequential write, 1 MiB, fsync at the end", "MB/s"),
    Row("randwrite 1M", "random write, 1 MiB, fsync at the end", "MB/s"),
    Row("write 4k", "sequential write, 4 KiB", "/s"),
    Row("randwrite 4k", "random write, 4 KiB", "/s"),
    Row("read 1M", "sequential read, 1 MiB, cold", "MB/s"),
    Row("randread 1M", "random read, 1 MiB, cold", "MB/s"),
    Row("read 4k", "sequential read, 4 KiB, cold", "/s"),
    Row("randread 4k", "random read, 4 KiB, cold", "/s"),
    Row("randread 4k warm", "random read, 4 KiB, warm", "/s"),
]


def fio(system, inputs):
    """One file of `megabytes`. Writes of 1 MiB end with an fsync that counts; those of 4 KiB measure
    the write call. Everything is cut off after `seconds`."""
    path = os.path.join(system.path, "fio")

    def run(mode, block, *more, measure="bw_bytes"):
        direction = "write" if "write" in mode else "read"
        before = served_by(system)
        report = json.loads(call(
            "fio", "--name=bench", "--filename=" + path, "--rw=" + mode, "--bs=" + block,
            "--size=%dm" % inputs.megabytes, "--ioengine=psync", "--fallocate=none", "--randrepeat=0",
            "--norandommap", "--invalidate=0", "--runtime=%g" % inputs.seconds,
            "--output-format=json", *more))["jobs"][0]
        value = report[direction][measure]
        cpu = (report["usr_cpu"] + report["sys_cpu"]) / 100 * report["job_runtime"] / 1000
        return Measured(value / 1e6 if measure == "bw_bytes" else value, cpu, served_by(system) - before)

    rows = {}
    os.sync()
    rows["write 1M"] = run("write", "1m", "--end_fsync=1")
    # What follows works on a whole file, also where the time was not enough for it.
    if os.path.getsize(path) < inputs.megabytes << 20:
        call("fio", "--name=rest", "--filename=" + path, "--rw=write", "--bs=1m", "--fallocate=none",
             "--size=%dm" % inputs.megabytes)
    system.settle()
    rows["randwrite 1M"] = run("randwrite", "1m", "--end_fsync=1")
    system.settle()
    rows["write 4k"] = run("write", "4k", measure="iops")
    system.settle()
    rows["randwrite 4k"] = run("randwrite", "4k", measure="iops")
    for mode in ("read", "randread"):
        for block, measure in (("1m", "bw_bytes"), ("4k", "iops")):
            system.cold()
            rows["%s %s" % (mode, block.replace("1m", "1M"))] = run(mode, block, measure=measure)
    touch_all(path)
    rows["randread 4k warm"] = run("randread", "4k", measure="iops")
    os.unlink(path)
    return rows


def touch_all(path):
    """Brings a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


FSYNC_ROWS = [Row("fsync", "write 4 KiB + fsync, overwriting", "/s"),
              Row("fsync append", "write 4 KiB + fsync, appending", "/s")]


def fsync(system, inputs):
    path = os.path.join(system.path, "synced")

    def run(mode, size):
        before = served_by(system)
        report = json.loads(call(
            "fio", "--name=bench", "--filename=" + path, "--rw=" + mode, "--bs=4k", "--size=" + size,
            "--ioengine=psync", "--fallocate=none", "--fsync=1", "--randrepeat=0", "--norandommap",
            "--overwrite=%d" % (mode == "randwrite"), "--time_based" if mode == "randwrite" else
            "--invalidate=1", "--runtime=%g" % inputs.seconds, "--output-format=json"))["jobs"][0]
        return Measured(report["write"]["iops"], 0.0, served_by(system) - before)

    system.settle()
    rows = {"fsync": run("randwrite", "64m")}
    os.unlink(path)
    system.settle()
    rows["fsync append"] = run("write", "1g")
    os.unlink(path)
    return rows


SQLITE_ROWS = [Row("sqlite full", "SQLite, rollback journal, full sync", "/s"),
               Row("sqlite wal", "SQLite, write-ahead log", "/s")]


def sqlite(system, inputs):
    rows = {}
    for mode in ("full", "wal"):
        system.settle()
        before = served_by(system)
        rate = json.loads(call(sys.executable, os.path.join(HERE, "transactions.py"),
                               os.path.join(system.path, mode + ".db"), mode, str(inputs.seconds)))["rate"]
        rows["sqlite " + mode] = Measured(rate, 0.0, served_by(system) - before)
    return rows


VERSIONS_ROWS = [Row("versions cp", "copy 15 package versions (cp -r), sync", "s"),
                 Row("versions done", "the same, until all is stored for good", "s",
                     "copy package versions until stored for good")]


def versions(system, inputs):
    """Several versions of packages into an empty system, and the space that takes."""
    os.sync()
    copy = clocked(system, "cp", "-r", inputs.versions, os.path.join(system.path, "versions"))
    synced = clocked(system, "sync", "-f", system.path)
    total = Measured(copy.value + synced.value, copy.client + synced.client, copy.daemon + synced.daemon)
    done = settled_after(system, total)
    rows = {"versions cp": total, "versions done": done}
    space = system.stored()
    if space is not None:
        rows["space"] = Measured(space)
    return rows


def settled_after(system, total):
    before, start = served_by(system), time.monotonic()
    system.settle()
    return Measured(total.value + time.monotonic() - start, total.client,
                    total.daemon + served_by(system) - before)


ALL = {
    "tree": (tree, TREE_ROWS),
    "files": (files, FILES_ROWS),
    "fio": (fio, FIO_ROWS),
    "fsync": (fsync, FSYNC_ROWS),
    "sqlite": (sqlite, SQLITE_ROWS),
    "versions": (versions, VERSIONS_ROWS),
}

# What is measured as well and has no row in the table of speed.
UNLISTED = {"tree": ["background"], "versions": ["space"]}
