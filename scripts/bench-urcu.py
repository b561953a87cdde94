#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""A program built for liburcu that does nothing but defer, on liburcu and on anyrcu:
anyrcu-urcu-loop, as it is and by "anyrcu urcu".

usage: bench-urcu.py BUILD_DIR RESULTS_DIR [ROUNDS [OBJECTS]]
Prints a table, and writes it and the raw results to RESULTS_DIR/urcu.txt and urcu.json.
Runs are interleaved.
"""
import json
import os
import platform
import statistics
import subprocess
import sys

build, results = sys.argv[1:3]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
objects = int(sys.argv[4]) if len(sys.argv) > 4 else 4_000_000
tool = os.path.join(build, "tools/anyrcu/anyrcu")
loop = os.path.join(build, "tools/anyrcu/anyrcu-urcu-loop")
GOAL = {"call": 5.0, "defer": 1.0}
GROWN = 4


def run(side, flavour, way, threads, n):
    """What one run measured; None: it did not come to its end in 40 seconds."""
    command = [loop, flavour, way, str(threads), str(n)]
    if side == "anyrcu":
        command = [tool, "urcu", "--"] + command
    try:
        done = subprocess.run(command, capture_output=True, timeout=40, check=True)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout)


def spread(values, scale=1.0, digits=1):
    values = sorted(v / scale for v in values)
    return "%.*f (%.*f..%.*f)" % (
        digits, statistics.median(values), digits, values[0], digits, values[-1])


rows = [{"flavour": f, "way": w, "threads": t, "liburcu": [], "anyrcu": [],
         "hung": {"liburcu": 0, "anyrcu": 0}}
        for w in ("call", "defer") for f in ("memb", "mb", "qsbr", "bp") for t in (1, 2)]
for _ in range(rounds):
    for row in rows:
        for side in ("liburcu", "anyrcu"):
            if row["hung"][side]:
                continue  # once is enough
            r = run(side, row["flavour"], row["way"], row["threads"], objects)
            if r:
                row[side].append(r)
            else:
                row["hung"][side] += 1
# Does memory stay where it is when there is more to do?
for row in rows:
    if row["way"] == "call":
        for side in ("liburcu", "anyrcu"):
            r = run(side, row["flavour"], "call", row["threads"], objects * GROWN)
            row[side + "_grown_bytes"] = r["peak_bytes"] if r else None

lines = ["%s, cpus %d, kernel %s; %d objects of 64 bytes a thread, %d rounds" % (
    platform.machine(), os.cpu_count(), platform.release(), objects, rounds), "",
    "%-20s %-26s %-24s %-22s %-30s %s" % (
        "", "liburcu: CPU ns", "anyrcu: CPU ns", "cheaper", "peak MiB, liburcu / anyrcu",
        "the same for %d times as many" % GROWN)]
for row in rows:
    name = "%s %s %d" % (row["way"] + "_rcu" if row["way"] == "call" else "defer_rcu",
                         row["flavour"], row["threads"])
    cpu = {s: [r["cpu_ns"] for r in row[s]] for s in ("liburcu", "anyrcu")}
    peak = {s: [r["peak_bytes"] for r in row[s]] for s in ("liburcu", "anyrcu")}
    if not cpu["liburcu"] or not cpu["anyrcu"] or row["hung"]["anyrcu"]:
        side = "anyrcu" if row["hung"]["anyrcu"] else "liburcu"
        lines.append("%-20s %-26s %-24s" % (
            name, spread(cpu["liburcu"]) if cpu["liburcu"] else "hangs",
            spread(cpu["anyrcu"]) if cpu["anyrcu"] else "hangs"))
        row["met"] = side == "liburcu"
        continue
    ratios = [a / b for a, b in zip(cpu["liburcu"], cpu["anyrcu"])]
    row["ratio"] = statistics.median(ratios)
    row["met"] = row["ratio"] >= GOAL[row["way"]]
    memory = "%.0f / %.0f" % (statistics.median(peak["liburcu"]) / 2**20,
                              statistics.median(peak["anyrcu"]) / 2**20)
    grown = [row.get(s + "_grown_bytes") for s in ("liburcu", "anyrcu")]
    lines.append("%-20s %-26s %-24s %-22s %-30s %s" % (
        name, spread(cpu["liburcu"]) + (", and hangs" if row["hung"]["liburcu"] else ""),
        spread(cpu["anyrcu"]), spread(ratios) + ("" if row["met"] else " !"), memory,
        " / ".join("%.0f" % (g / 2**20) for g in grown if g)))
lines += ["",
          "CPU: the whole process's for an object: malloc(), the deferral, its callback, free(); "
          "median, and the extremes of the rounds.",
          "cheaper: liburcu's by anyrcu's of the same round. "
          "!: call_rcu is not 5 times cheaper, or defer_rcu is dearer.",
          "peak: most memory that was resident. hangs: not at its end after 40 seconds."]
text = "\n".join(lines) + "\n"
print(text, end="")
with open(os.path.join(results, "urcu.txt"), "w") as f:
    f.write(text)
with open(os.path.join(results, "urcu.json"), "w") as f:
    json.dump({"machine": {"cpus": os.cpu_count(), "kernel": platform.release()}, "rounds": rounds,
               "objects": objects,
               "rows": rows}, f, indent=1)
    f.write("\n")
