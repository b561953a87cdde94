#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Three bars from what "anyrcu scale --json defer" has measured: what an object costs.

usage: bars.py RESULTS.json
"""
import json
import sys

PEERS = {
    "urcu-call_rcu": "liburcu, call_rcu()",
    "urcu-defer_rcu": "liburcu, defer_rcu()",
    "ck_epoch": "Concurrency Kit, ck_epoch",
}
WIDTH = 40

rows = {}
with open(sys.argv[1], encoding="utf-8") as f:
    for bench in json.load(f)["benches"]:
        for row in bench["rows"]:
            cost = row.get("cpu_ns")
            if cost:
                rows[row["name"]] = cost
peers = {name: rows[name]["median"] for name in PEERS if name in rows}
bars = [
    ("malloc, write, free at once", "immediate"),
    ("malloc, write, anyrcu_free()", "anyrcu-free"),
]
if peers:
    best = min(peers, key=peers.get)
    bars.append(("the best peer: " + PEERS[best], best))

print("What an object of 64 bytes costs all threads together, in nanoseconds of CPU time:\n")
most = max(rows[name]["median"] for _, name in bars)
for title, name in bars:
    cost = rows[name]
    bar = "#" * max(1, round(WIDTH * cost["median"] / most))
    print(f"  {title:41} {bar:{WIDTH}} {cost['median']:5.0f}  "
          f"({cost['min']:.0f}..{cost['max']:.0f})")

own = rows["anyrcu-free"]["median"]
print("\nFreeing at once takes memory from readers; the other forms wait for readers first.")
if peers:
    if peers[best] < own:
        print(f"{PEERS[best]} is cheaper here, by {100 * (1 - peers[best] / own):.0f}%. "
              "It may not be called from a signal handler,\n"
              "nor by a thread that is not registered.")
    else:
        print(f"anyrcu takes {100 * (1 - own / peers[best]):.0f}% less than the best peer, "
              "and may be called from anywhere.")
if "anyrcu-cache" in rows:
    print("From an object cache of anyrcu instead of malloc it is "
          f"{rows['anyrcu-cache']['median']:.0f} ns.")
