# SPDX-License-Identifier: MIT
"""An idle host: a thousand mounted projects, the default configuration."""
import os
import time

from machine import cpu_of, memory_of, wait_until
from systems import Projfs


class Host(Projfs):
    """A projfs without a project."""

    def create(self):
        pass

    def mounted(self):
        return sum(os.path.ismount(entry.path) for entry in os.scandir(self.root))


def idle(options, given, say):
    host = Host(options.work, options.build)
    try:
        host.start()
        empty = memory_of(host.child.pid)
        start = time.monotonic()
        for number in range(given.projects):
            host.admin("create", "p%d" % number, "--no-mount")
        created = time.monotonic() - start
        start = time.monotonic()
        for number in range(given.projects):
            host.admin("mount", "p%d" % number)
        mounted = time.monotonic() - start
        # Each is in use: looked at once, with one small file.
        for number in range(given.projects):
            with open(os.path.join(host.root, "p%d" % number, "file"), "w", encoding="ascii") as file:
                file.write("a small file\n")
        host.settle()
        time.sleep(5)
        before, start = cpu_of(host.child.pid), time.monotonic()
        time.sleep(given.idle_seconds)
        cpu = cpu_of(host.child.pid) - before
        took = time.monotonic() - start
        rss, highest = memory_of(host.child.pid)
        start = time.monotonic()
        host.end(host.child)
        stopped = time.monotonic() - start
        start = time.monotonic()
        host.daemon()
        wait_until(lambda: host.mounted() == given.projects, "all are mounted again", 300)
        again = time.monotonic() - start
        result = {"projects": given.projects, "create_seconds": created, "mount_seconds": mounted,
                  "rss_empty": empty[0], "rss": rss, "highest": highest, "idle_seconds": took,
                  "idle_cpu_seconds": cpu, "stop_seconds": stopped, "start_seconds": again}
        say("    %s" % result)
        return result
    finally:
        host.stop()
