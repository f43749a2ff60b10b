# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced by suites after private.sh: a real systemd as process 1 of namespaces of its own, over a
# throw-away overlay of this machine's root file system. What is installed, written, mounted and
# started in there never touches the machine, and goes when the suite ends, however it ends.
#
#   system_enter "$@"        first: runs the suite again in its own mount and process namespaces
#   system_begin             after suite_begin: makes SYSTEM, the root directory, or skips the suite
#   system_boot              boots it and waits until everything is started
#   inside COMMAND...        runs a command in the booted system
#   AUTOFS                   not empty if automounts work
#   poweroff_system          orderly, by systemctl poweroff
#   cut_power                not at all orderly; what was written to files stays
#   eventually COMMAND...    until it succeeds; what systemd learns from the kernel comes late

# The outer process stays, and takes the control group away when the inner one has gone.
system_enter() {
  [ -z "${SYSTEM_NAME:-}" ] || return 0
  [ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || suite_skip "needs root and /dev/fuse"
  command -v systemd-nspawn >/dev/null || suite_skip "needs systemd-nspawn (tools/install-packages deb)"
  unshare --mount --pid --fork --kill-child --mount-proc true 2>/dev/null ||
    suite_skip "this kernel, or this container, allows no namespaces"
  SYSTEM_NAME=projfs-$(od -An -N4 -tx1 /dev/urandom | tr -d ' ')
  export SYSTEM_NAME
  # unshare itself waits for the suite whatever it is told.
  # shellcheck disable=SC2046,SC2154
  trap 'kill -TERM $(cat "/proc/$inner/task/$inner/children") 2>/dev/null' INT TERM
  # --kill-child: if somebody kills this, the booted system dies with it.
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@" &
  inner=$!
  local status
  while :; do
    wait "$inner"
    status=$?
    kill -0 "$inner" 2>/dev/null || break
  done
  unshare --mount --propagation private bash -c '
    mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
      find "/sys/fs/cgroup/$SYSTEM_NAME" -depth -type d -exec rmdir {} \;' 2>/dev/null
  exit "$status"
}

system_begin() {
  SYSTEM=$WORK/system/root
  mkdir "$WORK/system"
  # Not on the file system that is below the overlay.
  mount -t tmpfs -o size=3g,mode=0755 tmpfs "$WORK/system"
  mkdir "$WORK/system/upper" "$WORK/system/work" "$SYSTEM"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/system/upper,workdir=$WORK/system/work" \
    "$SYSTEM" 2>/dev/null || suite_skip "this kernel, or this container, has no overlayfs over /"
  mount -t tmpfs tmpfs /run # nspawn keeps things there; not on this machine's
  umount -R /sys/fs/cgroup 2>/dev/null
  mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || suite_skip "this kernel has no cgroup2"
  mkdir "/sys/fs/cgroup/$SYSTEM_NAME" || suite_skip "no control group can be made"

  AUTOFS=
  if grep -qw autofs /proc/filesystems && [ -c /dev/autofs ]; then AUTOFS=yes; fi

  # Of what this machine has enabled and configured, nothing.
  rm -rf "$SYSTEM"/etc/systemd/system/* "$SYSTEM/var/lib/projfs" "$SYSTEM/projects" \
    "$SYSTEM/etc/projfs" "$SYSTEM/var/lib/systemd/timers" "$SYSTEM/var/log/journal"
  rm -f "$SYSTEM/usr/sbin/policy-rc.d" # containers' images forbid packages to start anything
  rm -f "$SYSTEM/var/lib/man-db/auto-update" # an index of all manual pages takes longer than all else
  : >"$SYSTEM/etc/fstab"
  : >"$SYSTEM/etc/machine-id"
  mkdir -p "$SYSTEM/var/log/journal"
  local unit
  for unit in systemd-resolved systemd-networkd systemd-timesyncd systemd-logind getty@tty1 \
    console-getty systemd-firstboot systemd-hwdb-update e2scrub_reap; do
    ln -s /dev/null "$SYSTEM/etc/systemd/system/$unit.service"
  done
  ln -s /dev/null "$SYSTEM/etc/systemd/system/getty.target"
  ln -s /lib/systemd/system/multi-user.target "$SYSTEM/etc/systemd/system/default.target"
  # What Debian enables and fstab needs.
  mkdir "$SYSTEM/etc/systemd/system/multi-user.target.wants"
  ln -s /lib/systemd/system/remote-fs.target "$SYSTEM/etc/systemd/system/multi-user.target.wants/"
}

system_boot() {
  (
    echo "$BASHPID" >"/sys/fs/cgroup/$SYSTEM_NAME/cgroup.procs"
    exec env -i PATH="$PATH" systemd-nspawn --quiet --directory="$SYSTEM" --register=no --keep-unit \
      --machine="$SYSTEM_NAME" --capability=all --bind=/dev/fuse ${AUTOFS:+--bind=/dev/autofs} --resolv-conf=off --timezone=off \
      --link-journal=no --console=pipe --boot </dev/null >>"$WORK/console" 2>&1
  ) &
  NSPAWN=$!
  BACKGROUND=("$NSPAWN")
  INIT=
  until [ -n "$INIT" ] && [ "$(cat "/proc/$INIT/comm" 2>/dev/null)" = systemd ]; do
    kill -0 "$NSPAWN" 2>/dev/null || { tail -n 40 "$WORK/console"; return 1; }
    sleep 0.05
    INIT=$(awk '{ print $NF }' "/proc/$NSPAWN/task/$NSPAWN/children" 2>/dev/null)
  done
  until inside test -S /run/systemd/private 2>/dev/null; do sleep 0.05; done
  # "degraded" is the caller's to judge.
  inside systemctl is-system-running --wait >/dev/null
  return 0
}

inside() {
  nsenter -t "$INIT" -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TZ=UTC \
    DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@"
}

poweroff_system() {
  inside systemctl poweroff
  wait "$NSPAWN"
}

# Every process is gone at once.
cut_power() {
  kill -9 "$INIT"
  wait "$NSPAWN"
}

eventually() {
  local try
  for try in $(seq 300); do
    "$@" && return
    sleep 0.1
  done
  echo "not after ${try} tries: $*"
  return 1
}
