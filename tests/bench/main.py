# SPDX-License-Identifier: MIT
"""Measures every chosen workload on every chosen system; started by tests/bench/run, in a mount and
process namespace of its own."""
import argparse
import json
import os
import signal
import statistics
import sys
import time
import traceback

import inputs as preparation
import memory
import report
import snapshots
import space
import systems
import workloads


def chosen(text, known, what):
    names = list(known) if not text else text.split(",")
    for name in names:
        if name not in known:
            sys.exit("tests/bench/run: %s: no such %s; there are %s" % (name, what, ", ".join(known)))
    return names


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="The same work on projfs and on "
                                     "other file systems; writes docs/benchmarks.md after a whole run.")
    parser.add_argument("--quick", action="store_true", help="less of everything, once")
    parser.add_argument("--only", metavar="WORKLOAD,...", default="",
                        help="of: " + ", ".join(list(workloads.ALL) + list(EXTRA)))
    parser.add_argument("--on", metavar="SYSTEM,...", default="", help="of: " + ", ".join(systems.ALL))
    parser.add_argument("--repeat", type=int, metavar="N", default=0,
                        help="how often each row is measured (default 2; --quick: 1); slow systems: once")
    parser.add_argument("--keep", action="store_true",
                        help="workloads that are not measured now: as the last run with this option had them")
    parser.add_argument("--document", action="store_true", help="write docs/benchmarks.md in any case")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--data", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def say(text):
    print(time.strftime("%H:%M:%S ") + text, flush=True)


def once(system, work, given):
    """One repetition on a fresh system, which is gone afterwards whatever happens."""
    try:
        system.start()
        return work(system, given)
    finally:
        system.stop()


def measure(name, on, repeat, given, options, results):
    work, rows = workloads.ALL[name]
    for repetition in range(repeat):
        for kind in on:
            if kind.slow and repetition > 0:
                continue
            system = kind(options.work, options.build)
            started = time.monotonic()
            try:
                measured = once(system, work, given)
            except Exception as error:  # the other rows are still worth having
                say("%s on %s FAILED: %s" % (name, kind.name, error))
                traceback.print_exc()
                results["failures"].append({"workload": name, "system": kind.name, "error": str(error)})
                continue
            for key, value in measured.items():
                results["samples"].setdefault(key, {}).setdefault(kind.name, []).append(vars(value))
            say("%s on %s: %.0f s" % (name, kind.name, time.monotonic() - started))
            for row in rows:
                if row.key in measured:
                    print("    %-42s %s" % (row.label, report.amount(measured[row.key].value, row.unit)))


def load():
    """How many tasks of anybody wanted to run, the mean of a minute: above one or two, somebody else did."""
    return os.getloadavg()[0]


EXTRA = {"space": space.backups, "memory": memory.idle, "snapshots": snapshots.measure}


def keep(path, names, results):
    """Takes over from an earlier run what was not measured in this one."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        old = json.load(file)
    for name in old["runs"]:
        if name in names:
            continue
        results["runs"][name] = old["runs"][name]
        if name in EXTRA:
            results[name] = old.get(name)
            continue
        for key in [row.key for row in workloads.ALL[name][1]] + workloads.UNLISTED.get(name, []):
            for part in ("samples", "medians"):
                if key in old[part]:
                    results[part][key] = old[part][key]
        if name == "tree":
            results["memory after unpacking"] = old["memory after unpacking"]


def main():
    options = arguments()
    names = chosen(options.only, list(workloads.ALL) + list(EXTRA), "workload")
    on = [systems.ALL[name] for name in chosen(options.on, systems.ALL, "system")]
    repeat = options.repeat or (1 if options.quick else 2)
    # The first process of its process namespace ignores signals that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    given = preparation.prepare(options, names, say)
    results = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "quick": options.quick,
               "repeat": repeat, "machine": report.machine(), "samples": {}, "failures": [],
               "inputs": vars(given) | {"memory": {}}, "runs": {}}
    started = time.monotonic()
    for name in names:
        run = results["runs"][name] = {"date": time.strftime("%H:%M", time.gmtime()), "load": [load()],
                                       "quick": options.quick}
        if name in EXTRA:
            say(name)
            try:
                results[name] = EXTRA[name](options, given, say)
            except Exception as error:  # the other rows are still worth having
                traceback.print_exc()
                results["failures"].append({"workload": name, "system": "", "error": str(error)})
        else:
            measure(name, on, repeat, given, options, results)
        run["load"].append(load())
    results["memory after unpacking"] = given.memory
    results["seconds"] = time.monotonic() - started
    results["medians"] = {key: {system: statistics.median(s["value"] for s in samples)
                                for system, samples in by.items()}
                          for key, by in results["samples"].items()}

    out = os.path.join(options.data, "..")
    if options.keep:
        keep(os.path.join(out, "kept.json"), names, results)
    text = report.tables(results)
    print(text)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for name in ("results.json", "results-%s.json" % stamp) + (("kept.json",) if options.keep else ()):
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    whole = not (options.quick or options.only or options.on)
    if options.document or (whole and not results["failures"]):
        report.document(os.path.join(options.top, "docs/benchmarks.md"), text)
        say("docs/benchmarks.md has the tables")
    for failure in results["failures"]:
        print("FAILED: %(workload)s on %(system)s: %(error)s" % failure)
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
