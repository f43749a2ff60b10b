# SPDX-License-Identifier: MIT
"""What the workloads work on: fetched and unpacked once into a cache, outside of any timing."""
import glob
import os
import shutil
import subprocess

from machine import Failed, call
from workloads import Inputs

SOURCE_PACKAGE = "linux-source-6.1"
# Neighbouring versions, as a team's projects have them.
PACKAGES = {
    "typescript": ("5.2.2", "5.3.3", "5.4.5", "5.5.4", "5.6.3", "5.7.3", "5.8.3", "5.9.2"),
    "three": ("0.160.0", "0.162.0", "0.164.0", "0.166.0", "0.168.0", "0.170.0", "0.172.0"),
}


def source_tar(data, quick, say):
    """The kernel's source as Debian packages it, as a plain tar file."""
    whole = os.path.join(data, "linux.tar")
    if not os.path.exists(whole):
        packed = "/usr/src/%s.tar.xz" % SOURCE_PACKAGE
        if not os.path.exists(packed):
            say("fetching %s" % SOURCE_PACKAGE)
            call("apt-get", "download", SOURCE_PACKAGE, cwd=data)
            package, = glob.glob(os.path.join(data, SOURCE_PACKAGE + "_*.deb"))
            call("dpkg-deb", "-x", package, os.path.join(data, "package"))
            os.unlink(package)
            packed = os.path.join(data, "package", packed.lstrip("/"))
        say("decompressing it")
        with open(whole + ".part", "wb") as out:
            subprocess.run(["xz", "-dc", packed], stdout=out, check=True)
        os.rename(whole + ".part", whole)
        shutil.rmtree(os.path.join(data, "package"), ignore_errors=True)
    top = "linux-source-6.1"
    if not quick:
        return whole, top
    part = os.path.join(data, "linux-part.tar")
    if not os.path.exists(part):
        scratch = os.path.join(data, "scratch")
        os.makedirs(scratch)
        call("tar", "-xf", whole, "-C", scratch, top + "/drivers/net", top + "/fs")
        call("tar", "-cf", part + ".part", "-C", scratch, top)
        os.rename(part + ".part", part)
        shutil.rmtree(scratch)
    return part, top


def package_versions(data, say):
    """Every version unpacked into a directory of its own."""
    done = os.path.join(data, "versions")
    if os.path.exists(done):
        return done
    packed, scratch = os.path.join(data, "npm"), os.path.join(data, "versions.part")
    os.makedirs(packed, exist_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
    for name, numbers in PACKAGES.items():
        for number in numbers:
            archive = os.path.join(packed, "%s-%s.tgz" % (name, number))
            if not os.path.exists(archive):
                say("fetching %s %s" % (name, number))
                call("npm", "pack", "--silent", "%s@%s" % (name, number), cwd=packed)
            if not os.path.exists(archive):
                raise Failed("npm pack did not make " + archive)
            target = os.path.join(scratch, "%s-%s" % (name, number))
            os.makedirs(target)
            call("tar", "-xzf", archive, "-C", target, "--no-same-owner")
    os.rename(scratch, done)
    return done


def prepare(options, names, say):
    os.makedirs(options.data, exist_ok=True)
    given = Inputs(build=options.build, small_files=os.path.join(options.programs, "small-files"))
    if "tree" in names:
        given.tar, given.top = source_tar(options.data, options.quick, say)
    if "versions" in names or "space" in names:
        given.versions = package_versions(options.data, say)
    if options.quick:
        given.file_count, given.seconds, given.megabytes = 5000, 1.0, 128
        given.projects, given.idle_seconds = 200, 10.0
    return given
