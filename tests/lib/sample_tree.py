#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: sample_tree.py DIR: fills DIR with one of everything a tree may hold. Needs root."""
import os
import socket
import stat
import subprocess
import sys

top = sys.argv[1]
os.makedirs(top, exist_ok=True)
os.chdir(top)


def write(path, data, mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


os.makedirs("plain/empty")
write("plain/nothing", b"")
write("plain/short", b"a few bytes\n")
write("plain/random", os.urandom(3_000_001))
write("plain/zeros", bytes(1 << 20))
for i in range(300):
    write(f"plain/many-{i}", f"file {i}\n".encode() * (i + 1))

# Names: any byte but / and NUL, up to 255 of them.
os.mkdir(b"names")
for name in (b"with space", b"new\nline", b"\xff\xfe not utf-8", b"-dash", b"x" * 255, b".hidden", b"*?[a]"):
    write(b"names/" + name, name)
path = b"names"
for i in range(40):
    path += b"/" + b"level-%02d-" % i + b"d" * 60
    os.mkdir(path)
write(path + b"/bottom", b"deep")

# Holes: leading, inside, trailing, and nothing else.
with open("sparse", "wb") as file:
    for at in (5 << 20, 9 << 20):
        file.seek(at)
        file.write(os.urandom(10_000))
    file.truncate(40 << 20)
with open("all-hole", "wb") as file:
    file.truncate(123_456_789)

# Links.
os.symlink("plain/short", "link")
os.symlink("/nowhere/at/all", "dangling")
os.symlink("x" * 1000, "long-link")
os.mkdir("hard")
os.link("plain/random", "hard/second")
os.link("plain/random", "hard/third")
os.mkfifo("hard/fifo", 0o640)
os.link("hard/fifo", "hard/fifo-2")

# Special files.
os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
os.mknod("block", stat.S_IFBLK | 0o600, os.makedev(7, 250))
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.close()

# Owners and modes.
write("suid", b"#!\n")
os.chown("suid", 1234, 4321)
os.chmod("suid", 0o6755)
write("nobody-may", b"secret", 0)
os.mkdir("sticky")
os.chmod("sticky", 0o1777)
os.mkdir("set-gid")
os.chown("set-gid", 0, 100)
os.chmod("set-gid", 0o2775)
write("set-gid/inside", b"x")
os.lchown("dangling", 77, 88)

# Extended attributes and ACLs.
write("attributes", b"x")
os.setxattr("attributes", "user.empty", b"")
os.setxattr("attributes", "user.binary", bytes(range(256)))
os.setxattr("attributes", "trusted.of-root", b"yes")
os.mkdir("acl")
write("acl/file", b"x")
subprocess.run(["setfacl", "-m", "u:1234:rwx,g:100:r", "acl/file"], check=True)
subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx,g::r", "acl"], check=True)
write("acl/inherits", b"x")
os.mkdir("acl/below")

# Times last: nanoseconds, long ago, and in the future.
os.utime("plain/short", ns=(1_000_000_000_123_456_789, 1_234_567_890_987_654_321))
os.utime("dangling", ns=(1, 2), follow_symlinks=False)
os.utime("plain/nothing", ns=(0, 0))
os.utime("plain/zeros", ns=(4_000_000_000_000_000_001, 4_000_000_000_000_000_001))
os.utime("plain", ns=(1_111_111_111_000_000_001, 1_111_111_111_000_000_001))
os.utime(".", ns=(1_222_222_222_000_000_001, 1_222_222_222_000_000_001))
