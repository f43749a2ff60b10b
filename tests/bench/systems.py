# SPDX-License-Identifier: MIT
"""The systems that are compared. Each starts empty in a directory of its own and ends without trace.

A system's `path` is where the work is done. `settle` returns once nothing that was written is still
being worked on in the background; `cold` empties the kernel's caches; `restart` also ends and starts
whatever process serves the files. `pids` are those processes; `stored` is the space taken, in bytes.
"""
import json
import os
import shutil
import signal
import subprocess

from machine import Failed, call, drop_caches, wait_until

DISK = 24 << 30  # of the sparse files that stand for disks


class System:
    name = ""
    slow = False  # then it is measured once

    def __init__(self, work, build):
        self.work, self.build = os.path.join(work, self.name), build
        self.path = os.path.join(self.work, "mnt")
        self.children = []

    def start(self):
        os.makedirs(self.path)

    def stop(self):
        """May be called in any state, also after a failure half-way."""
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(60)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children = []
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            below = [line.split()[1] for line in mounts if line.split()[1].startswith(self.work + "/")]
        for mount in reversed(below):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def spawn(self, *argv):
        with open(os.path.join(self.work, "log"), "ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def end(self, child):
        child.send_signal(signal.SIGTERM)
        child.wait()
        self.children.remove(child)

    def alive(self, child):
        if child.poll() is not None:
            with open(os.path.join(self.work, "log"), encoding="utf-8", errors="replace") as log:
                raise Failed("%s: a process ended: %s" % (self.name, log.read()[-2000:]))
        return True

    @property
    def pids(self):
        return [child.pid for child in self.children]

    def settle(self):
        os.sync()

    def cold(self):
        self.settle()
        drop_caches()

    def restart(self):
        self.cold()

    def stored(self):
        """None where the files are kept by another system."""
        return None


class Ext4(System):
    """A plain directory of the host's file system."""
    name = "ext4"

    def stored(self):
        return int(call("du", "-s", "--block-size=1", self.path).split()[0])


class Btrfs(System):
    name = "btrfs"

    def mount(self):
        call("mount", "-o", "loop,compress=zstd:1", os.path.join(self.work, "disk"), self.path)

    def start(self):
        super().start()
        disk = os.path.join(self.work, "disk")
        with open(disk, "wb") as file:
            file.truncate(DISK)
        call("mkfs.btrfs", "-q", "-m", "single", disk)
        self.mount()
        call("btrfs", "quota", "enable", self.path)
        self.empty = self.used()

    def used(self):
        call("sync", "-f", self.path)
        status = os.statvfs(self.path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def restart(self):
        self.settle()
        call("umount", self.path)
        self.mount()
        drop_caches()

    def stored(self):
        return self.used() - self.empty


class Bindfs(System):
    name = "bindfs"
    slow = True

    def mount(self):
        self.child = self.spawn("bindfs", "-f", os.path.join(self.work, "source"), self.path)
        wait_until(lambda: self.alive(self.child) and os.path.ismount(self.path), "bindfs mounts")

    def start(self):
        super().start()
        os.mkdir(os.path.join(self.work, "source"))
        self.mount()

    def restart(self):
        self.settle()
        call("umount", self.path)
        self.child.wait()
        self.children.remove(self.child)
        self.mount()
        drop_caches()


class ZfsFuse(System):
    name = "zfs-fuse"
    slow = True
    POOL = "projfsbench"

    def daemon(self):
        self.child = self.spawn("zfs-fuse", "--no-daemon", "--no-kstat-mount",
                                "--pidfile", os.path.join(self.work, "pid"))
        wait_until(lambda: self.alive(self.child) and self.answers(), "zfs-fuse answers")

    @staticmethod
    def answers():
        return subprocess.run(["zpool", "list"], capture_output=True, check=False).returncode == 0

    def start(self):
        super().start()
        self.daemon()
        disk = os.path.join(self.work, "disk")
        with open(disk, "wb") as file:
            file.truncate(DISK)
        call("zpool", "create", "-o", "cachefile=none", "-O", "dedup=on", "-m", self.path, self.POOL, disk)
        self.empty = self.used()

    def stop(self):
        if self.children and self.child.poll() is None:
            subprocess.run(["zpool", "destroy", "-f", self.POOL], capture_output=True, check=False)
        super().stop()

    def restart(self):
        self.settle()
        call("zpool", "export", self.POOL)
        self.end(self.child)
        self.daemon()
        call("zpool", "import", "-o", "cachefile=none", "-d", self.work, self.POOL)
        drop_caches()

    def used(self):
        text = call("zpool", "list", "-H", "-o", "alloc", self.POOL).strip()
        unit = {"K": 10, "M": 20, "G": 30}.get(text[-1])
        return int(float(text[:-1]) * (1 << unit)) if unit else int(text)

    def stored(self):
        os.sync()
        call("zpool", "export", self.POOL)  # every transaction group is on disk
        call("zpool", "import", "-o", "cachefile=none", "-d", self.work, self.POOL)
        return self.used() - self.empty


class Projfs(System):
    name = "projfs"
    PROJECT = "bench"

    def __init__(self, work, build):
        super().__init__(work, build)
        self.root = os.path.join(self.work, "projects")
        self.path = os.path.join(self.root, self.PROJECT)
        self.socket = os.path.join(self.work, "socket")

    def admin(self, *argv):
        return call(os.path.join(self.build, "tools/projfs-admin"), *argv,
                    env=dict(os.environ, PROJFS_SOCKET=self.socket))

    def status(self):
        return json.loads(self.admin("store", "status", "--json"))

    def answers(self):
        try:
            self.admin("store", "status")
            return True
        except Failed:
            return False

    def daemon(self):
        """The default configuration: an empty file."""
        self.child = self.spawn(os.path.join(self.build, "tools/projfsd"),
                                "--config", os.path.join(self.work, "projfs.toml"),
                                "--store", os.path.join(self.work, "store"),
                                "--projects-root", self.root, "--socket", self.socket, "--foreground")
        wait_until(lambda: self.alive(self.child) and self.answers(), "projfsd answers")

    def start(self):
        os.makedirs(self.root)
        with open(os.path.join(self.work, "projfs.toml"), "w", encoding="ascii"):
            pass
        self.admin("store", "init", os.path.join(self.work, "store"))
        self.daemon()
        self.create()

    def create(self):
        self.admin("create", self.PROJECT)
        if not os.path.ismount(self.path):
            self.admin("mount", self.PROJECT)

    def settle(self):
        os.sync()
        wait_until(lambda: self.alive(self.child) and self.status()["staged_bytes"] == 0,
                   "everything staged is ingested", 600)
        os.sync()

    def restart(self):
        self.settle()
        self.end(self.child)
        self.daemon()
        wait_until(lambda: os.path.ismount(self.path), "the project is mounted again")
        drop_caches()

    def stored(self):
        self.settle()
        return self.status()["stored_bytes"]


ALL = {system.name: system for system in (Projfs, Ext4, Btrfs, Bindfs, ZfsFuse)}
