# SPDX-License-Identifier: MIT
"""What backup programs need for the package versions: time and space."""
import os
import shutil

from machine import call, disk_usage, timed


def bup(source, store):
    env = ("env", "BUP_DIR=" + store, "HOME=" + os.path.dirname(store))
    call(*env, "bup", "init")
    return timed(*env, "sh", "-c", 'bup index "$0" && bup save -q -n bench "$0"', source)


def borg(source, store):
    env = ("env", "BORG_BASE_DIR=" + os.path.dirname(store), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes")
    call(*env, "borg", "init", "--encryption=none", store)
    return timed(*env, "borg", "create", "--compression=zstd,1", store + "::bench", source)


def restic(source, store):
    env = ("env", "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + store + ".cache")
    call(*env, "restic", "init", "-q", "--repo", store)
    return timed(*env, "restic", "backup", "-q", "--repo", store, source)


def casync(source, store):
    os.makedirs(store)
    return timed("casync", "make", "--store=" + os.path.join(store, "chunks"),
                 os.path.join(store, "index.caidx"), source)


def backups(options, given, say):
    """Each once into an empty store on the host's file system; read from a warm page cache."""
    rows = {"plain": {"bytes": disk_usage(given.versions)}}
    call("sh", "-c", 'tar -cf - "$0" | wc -c', given.versions)
    for program in (bup, borg, restic, casync):
        scratch = os.path.join(options.work, "backup")
        os.makedirs(scratch)
        store = os.path.join(scratch, "store")
        try:
            took, _ = program(given.versions, store)
            rows[program.__name__] = {"seconds": took, "bytes": disk_usage(store)}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        say("    %s: %.1f s, %.1f MB" % (program.__name__, took, rows[program.__name__]["bytes"] / 1e6))
    return rows
