# SPDX-License-Identifier: MIT
"""Running and timing commands, and what the kernel knows about processes."""
import os
import subprocess
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A command of the benchmark failed; the text names it and carries its last words."""


def call(*argv, cwd=None, env=None):
    """Runs a command outside any timing and returns what it printed."""
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed("%s: exit status %d: %s" % (" ".join(argv), done.returncode,
                                                 (done.stderr or done.stdout)[-2000:]))
    return done.stdout


def timed(*argv, cwd=None, accept=(0,)):
    """Runs a command; returns seconds on the clock and seconds of processor time it took."""
    start = time.monotonic()
    process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accept:
        raise Failed("%s: exit status %d: %s" % (" ".join(argv), process.returncode,
                                                 words.decode(errors="replace")[-2000:]))
    return took, usage.ru_utime + usage.ru_stime


def cpu_of(pid):
    """Processor time of a process so far, in seconds."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_of(pid):
    """Resident memory of a process in bytes: now, and at its highest."""
    values = {}
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as status:
        for line in status:
            key, _, rest = line.partition(":")
            if key in ("VmRSS", "VmHWM"):
                values[key] = int(rest.split()[0]) * 1024
    return values["VmRSS"], values["VmHWM"]


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3\n")


def wait_until(condition, what, seconds=120.0):
    """Polls; a limit only so that a broken system ends the benchmark instead of hanging it."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise Failed("waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.02)


def disk_usage(path):
    """What a tree takes in blocks, in bytes."""
    return int(call("du", "-s", "--block-size=1", path).split()[0])
