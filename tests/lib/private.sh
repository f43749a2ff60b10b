# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced by the suites: a private store, daemon, socket and projects root in one temporary
# directory, and the counting of results. Nothing outlives the suite: daemons, mounts, loop devices
# and files go when it ends, however it ends.
#
#   . "$(dirname "$0")/../lib/private.sh"
#   suite_begin                      sets WORK STORE ROOT SOCKET and the clean-up
#   daemon_init; daemon_start        makes the store, starts projfsd on it
#   project ID [create options]      creates and mounts; prints the mount point
#   check NAME COMMAND...            counts one result; the output is shown if it failed
#   skipped NAME REASON              counts one test that can't run here
#   suite_end                        prints "N passed, N failed, N skipped" and exits
#
# PROJFS_BUILD: directory with the built programs. PROJFS_TEST_TMP: where temporary directories are
# made (default /var/tmp, which is on a disk). LONG=1: the long campaign.

set -u
: "${PROJFS_BUILD:?names the directory with the built programs}"
PROJFS_BUILD=$(cd "$PROJFS_BUILD" && pwd)
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROJFSD=${PROJFSD:-$PROJFS_BUILD/tools/projfsd}
ADMIN=${ADMIN:-$PROJFS_BUILD/tools/projfs-admin}
LONG=${LONG:-}

passed=0 failed=0 skips=0 ended=
BACKGROUND=()
LOOPS=()

can_mount() { [ "$(id -u)" = 0 ] && [ -c /dev/fuse ]; }

# A whole suite that can't run: says why and ends with the exit status for that.
suite_skip() {
  echo "skipped: $*"
  echo "0 passed, 0 failed, 1 skipped"
  exit 77
}

suite_begin() {
  can_mount || suite_skip "needs root and /dev/fuse"
  WORK=$(mktemp -d "${PROJFS_TEST_TMP:-/var/tmp}/projfs-test.XXXXXX") || exit 1
  chmod 0755 "$WORK"
  STORE=$WORK/store ROOT=$WORK/projects SOCKET=$WORK/admin.sock CONFIG=$WORK/projfs.toml
  LOG=$WORK/projfsd.log
  export PROJFS_SOCKET=$SOCKET
  mkdir "$ROOT"
  : >"$CONFIG"
  export WORK STORE ROOT SOCKET CONFIG LOG PROJFS_BUILD
  trap suite_clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

mounts_below() { # DIR: mount points below it, the newest first
  awk -v d="$1/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | tac
}

suite_clean() {
  local status=$? pid mount loop
  trap '' INT TERM
  cd /
  for pid in "${BACKGROUND[@]}"; do kill -9 "$pid" 2>/dev/null; done
  pid=$(daemon_pid)
  if alive "$pid"; then
    kill -9 "$pid"
    gone
  fi
  if [ -z "$ended" ] && [ "$status" != 77 ]; then
    failed=$((failed + 1))
    [ "$status" != 0 ] || status=1
    echo "the suite ended early"
    last_words
    echo "$passed passed, $failed failed, $skips skipped"
  fi
  while read -r mount; do umount -l "$mount" 2>/dev/null; done < <(mounts_below "$WORK")
  for loop in "${LOOPS[@]}"; do losetup -d "$loop" 2>/dev/null; done
  if [ -n "${KEEP:-}" ]; then
    echo "kept: $WORK"
  else
    rm -rf --one-file-system "$WORK"
  fi
  exit "$status"
}

pass() { passed=$((passed + 1)); echo "ok      $1"; }
fail() { failed=$((failed + 1)); echo "FAILED  $1${2:+: $2}"; }
skipped() { skips=$((skips + 1)); echo "skipped $1: $2"; }

check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@" >"$WORK/output" 2>&1; then
    pass "$name"
  else
    fail "$name" "exit status $?"
    sed 's/^/        | /' "$WORK/output" | tail -n "${OUTPUT_LINES:-60}"
    return 1
  fi
}

last_words() {
  [ -s "${LOG:-}" ] || return 0
  echo "--- the daemon's last words"
  tail -n 40 "$LOG"
}

suite_end() {
  [ "$failed" = 0 ] || last_words
  ended=yes
  echo "$passed passed, $failed failed, $skips skipped"
  [ "$failed" = 0 ]
  exit
}

admin() { "$ADMIN" "$@"; }

daemon_init() { admin store init "$STORE"; }

# The daemon is known by its pid file, so that hooks run by a test program can stop and start it.
daemon_pid() { cat "$WORK/daemon.pid" 2>/dev/null; }
alive() { [ -n "$1" ] && [ ! -e "$WORK/daemon.status" ] && kill -0 "$1" 2>/dev/null; }
gone() { until [ -s "$WORK/daemon.status" ]; do sleep 0.01; done; } # all of its threads ended

# Starts projfsd and returns once it answers.
daemon_start() { # [flags for projfsd]
  local pid
  rm -f "$WORK/daemon.status" "$WORK/daemon.pid"
  # A shell of its own waits for it, so that its exit status is known whoever stops it.
  (
    "$PROJFSD" --config "$CONFIG" --store "$STORE" --projects-root "$ROOT" --socket "$SOCKET" \
      --foreground "$@" >>"$LOG" 2>&1 </dev/null &
    echo $! >"$WORK/daemon.pid.new" && mv "$WORK/daemon.pid.new" "$WORK/daemon.pid"
    wait $!
    echo $? >"$WORK/daemon.status"
  ) >/dev/null 2>&1 &
  disown
  until pid=$(daemon_pid); do sleep 0.01; done
  until admin store status >/dev/null 2>&1; do
    if ! alive "$pid"; then
      echo "projfsd ended:"
      tail -n 20 "$LOG"
      rm -f "$WORK/daemon.pid"
      return 1
    fi
    sleep 0.02
  done
}

# Orderly end; fails if projfsd was gone already, or says so with its exit status.
daemon_stop() {
  local pid
  pid=$(daemon_pid)
  rm -f "$WORK/daemon.pid"
  alive "$pid" || { echo "projfsd was gone"; return 1; }
  kill -TERM "$pid"
  gone
  [ "$(cat "$WORK/daemon.status")" = 0 ] || { echo "exit status $(cat "$WORK/daemon.status")"; return 1; }
}

# What a power switch does to the process: no time to say goodbye. `daemon_kill` also takes the dead
# mounts away.
daemon_die() {
  local pid
  pid=$(daemon_pid)
  kill -9 "$pid"
  gone
  rm -f "$WORK/daemon.pid"
}
daemon_kill() {
  daemon_die
  detach_dead
}
detach_dead() {
  local mount
  while read -r mount; do umount -l "$mount"; done < <(mounts_below "$ROOT")
}

mount_project() { # ID: mounts it unless it is; prints the mount point
  local try
  # A mount namespace that somebody made meanwhile may still hold an earlier mount.
  for try in $(seq 1 50); do
    mountpoint -q "$ROOT/$1" || admin mount "$1" >"$WORK/mounting" 2>&1 || { sleep 0.2; continue; }
    echo "$ROOT/$1"
    return
  done
  cat "$WORK/mounting" >&2
  return 1
}
umount_project() { # ID: whoever looks around on this machine may be in it for a moment
  local try
  for try in $(seq 1 50); do
    admin umount "$1" >"$WORK/unmounting" 2>&1 && return
    grep -q 'in use' "$WORK/unmounting" || break
    sleep 0.2
  done
  cat "$WORK/unmounting" >&2
  return 1
}

project() { # ID [create options]
  local id=$1
  shift
  admin create "$id" "$@" >/dev/null || return
  mount_project "$id"
}

show() { # ID MEMBER: one member of `show --json`, for instance usage.bytes
  admin show "$1" --json | python3 -c '
import json, sys
v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[k]
print(v)' "$2"
}

# Recomputes every counter and reference from the records; prints what disagrees.
store_check() { admin store check; }

# Runs a GoogleTest program and counts its tests one by one.
check_gtest() { # PROGRAM [arguments]
  local out=$WORK/gtest.log line
  "$@" >"$out" 2>&1
  local status=$?
  local ok bad skip
  ok=$(grep -c '^\[       OK \]' "$out")
  bad=$(grep -c '^\[  FAILED  \].*ms)$' "$out")
  skip=$(grep -c '^\[  SKIPPED \].*ms)$' "$out")
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  if [ "$status" = 0 ] && [ "$ok" = 0 ] && [ "$skip" = 0 ]; then bad=1; fi
  passed=$((passed + ok)) failed=$((failed + bad)) skips=$((skips + skip))
  if [ "$bad" != 0 ]; then
    grep -v '^\[ *\(OK\|RUN\|---*\|=*\) *\]' "$out" | tail -n 150
  fi
  grep '^\[  SKIPPED \].*ms)$' "$out" | while read -r line; do echo "skipped ${line#*] }"; done
  echo "$(basename "$1"): $ok passed, $bad failed, $skip skipped"
}
