# SPDX-License-Identifier: MIT
"""Tables out of results, for people and for docs/benchmarks.md."""
import os
import platform
import statistics

import snapshots
import workloads

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OTHERS = ("ext4", "btrfs", "bindfs", "zfs-fuse")


def amount(value, unit):
    if unit == "s":
        return "%.2f s" % value if value < 100 else "%.0f s" % value
    if unit == "/s":
        return "%.1fk/s" % (value / 1000) if value >= 1000 else "%.0f/s" % value
    return "%.0f %s" % (value, unit)


def megabytes(value):
    return "%.1f MB" % (value / 1e6)


def mebibytes(value):
    return "%.0f MiB" % (value / (1 << 20))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    with open("/proc/meminfo", encoding="utf-8") as info:
        memory = int(info.readline().split()[1]) // (1 << 20)
    return "%d × %s, %d GiB of memory, Linux %s" % (os.cpu_count(), model, memory, platform.release())


def ratio(row, own, other):
    """How many times as good projfs is."""
    value = own / other if row.more_is_better else other / own
    return "%.2f×" % value


def speed(results):
    medians = results["medians"]
    lines = ["| work | projfs | " + " | ".join(OTHERS) + " |", "|---|" + "---:|" * (1 + len(OTHERS))]
    for _, rows in workloads.ALL.values():
        for row in rows:
            values = medians.get(row.key)
            if not values:
                continue
            own = values.get("projfs")
            cells = [amount(own, row.unit) if own else "–"]
            for other in OTHERS:
                value = values.get(other)
                if not value:
                    cells.append("–")
                elif own:
                    cells.append("%s (%s)" % (amount(value, row.unit), ratio(row, own, value)))
                else:
                    cells.append(amount(value, row.unit))
            lines.append("| %s | %s |" % (row.label, " | ".join(cells)))
    return lines


def processor(results):
    """Where projfs spends the time: in the program that works, or in the daemon."""
    lines = ["| work | clock | the program | projfsd |", "|---|---:|---:|---:|"]
    tree, rows = workloads.ALL["tree"][1], []
    for row in tree:
        samples = results["samples"].get(row.key, {}).get("projfs")
        if samples:
            rows.append("| %s | %s |" % (row.label, " | ".join(
                "%.2f s" % statistics.median(sample[part] for sample in samples)
                for part in ("value", "client", "daemon"))))
    samples = results["samples"].get("background", {}).get("projfs")
    if samples:
        rows.append("| deduplication and compression after unpacking, in the background | – | – | %.2f s |" %
                    statistics.median(sample["value"] for sample in samples))
    return lines + rows if rows else []


def space(results):
    lines = ["| system | space | time until stored |", "|---|---:|---:|"]
    stored = results["medians"].get("space", {})
    done = results["medians"].get("versions done", {})
    rows = [(name, size, done.get(name)) for name, size in stored.items()]
    rows += [(name, row["bytes"], row.get("seconds")) for name, row in (results.get("space") or {}).items()
             if name != "plain"]
    for name, size, seconds in sorted(rows, key=lambda row: row[1]):
        lines.append("| %s | %s | %s |" % (name, megabytes(size), amount(seconds, "s") if seconds else "–"))
    return lines if rows else []


def memory(results):
    lines = []
    for name, samples in results.get("memory after unpacking", {}).items():
        lines.append("- %s after unpacking the tree: %s resident, %s once all is stored, %s at its highest." % (
            name, *(mebibytes(max(sample[part] for sample in samples))
                    for part in ("rss", "rss_settled", "highest"))))
    idle = results.get("memory")
    if idle:
        lines.append(
            "- projfs with %d mounted projects, idle: %s resident (%s without a project), %.2f s of processor "
            "time in %.0f s." % (idle["projects"], mebibytes(idle["rss"]), mebibytes(idle["rss_empty"]),
                                 idle["idle_cpu_seconds"], idle["idle_seconds"]))
        lines.append(
            "- To create them one by one took %.1f s, to mount them %.1f s, to stop the daemon %.1f s, to start "
            "it again with all of them mounted %.1f s." % (idle["create_seconds"], idle["mount_seconds"],
                                                           idle["stop_seconds"], idle["start_seconds"]))
    return lines


# Rows in which projfs is to be at least level with btrfs; against the others, in all of them.
AS_FAST_AS_BTRFS = ("unpack", "grep warm", "write 1M", "fsync", "fsync append", "sqlite full")
LEVEL = 0.95  # from here on two figures are called level
BUSY = 3.0  # the benchmark alone makes a load below this


def ratios(results, other):
    """Of each row that both have: the row, and how many times as good projfs is."""
    found = []
    for _, rows in workloads.ALL.values():
        for row in rows:
            values = results["medians"].get(row.key, {})
            if values.get("projfs") and values.get(other):
                own, theirs = values["projfs"], values[other]
                found.append((row, own / theirs if row.more_is_better else theirs / own))
    return found


def listed(rows):
    return "; ".join("%s (%.2f×)" % (row.name, value) for row, value in sorted(rows, key=lambda r: r[1]))


def summary(results):
    """What the table of speed says, in words."""
    lines = []
    for other in OTHERS:
        found = ratios(results, other)
        if not found:
            continue
        ahead = sum(value > 1 / LEVEL for _, value in found)
        level = sum(LEVEL <= value <= 1 / LEVEL for _, value in found)
        behind = [(row, value) for row, value in found if value < LEVEL]
        lines.append("- Against %s projfs is ahead in %d of %d rows and level in %d.%s" % (
            other, ahead, len(found), level, " Behind: %s." % listed(behind) if behind else ""))
    wanted = [(row, value) for row, value in ratios(results, "btrfs") if row.key in AS_FAST_AS_BTRFS]
    if wanted:
        missed = [(row, value) for row, value in wanted if value < LEVEL]
        lines.append("- Rows in which it is to be level with btrfs: %s. %s" % (
            listed(wanted), "Missed: %d." % len(missed) if missed else "All are."))
    busy = ["%s (%.1f)" % (name, max(run["load"])) for name, run in results["runs"].items()
            if max(run["load"]) > BUSY]
    if busy:
        lines.append("- **The machine had other work to do** during %s: there, only ratios far from 1 mean something."
                     % ", ".join(busy))
    missing = [other for other in OTHERS if len(ratios(results, other)) < len(ratios(results, "ext4"))]
    if missing:
        lines.append("- Not every row was measured for %s." % " and ".join(missing))
    return lines


def tables(results):
    runs = ["%s %s%s (load %s)" % (run["date"], name, " --quick" if run["quick"] else "",
                                   "–".join("%.1f" % load for load in run["load"]))
            for name, run in results["runs"].items()]
    parts = ["Measured until %s on %s. In brackets: how many times as fast projfs is. The load of the machine, which "
             "includes everything else that ran on it: %s." % (results["date"], results["machine"], ", ".join(runs))]
    for title, lines in (("What the tables say", summary(results)), ("Speed", speed(results)),
                         ("Where projfs spends the time", processor(results)),
                         ("Space for 15 versions of two packages", space(results)),
                         ("Snapshots", snapshots.lines(results.get("snapshots"))),
                         ("Memory", memory(results))):
        if len(lines) > (2 if lines and lines[0].startswith("|") else 0):
            parts.append("### %s\n\n%s" % (title, "\n".join(lines)))
    return "\n\n".join(parts)


def document(path, text):
    """Replaces what stands between the markers; the prose around it stays."""
    with open(path, encoding="utf-8") as file:
        old = file.read()
    before, rest = old.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s%s\n\n%s\n\n%s%s" % (before, BEGIN, text, END, after))
