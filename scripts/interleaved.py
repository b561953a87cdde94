# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Benchmarks in interleaved rounds, so that what disturbs the machine disturbs all of them."""
import json
import statistics


def measure(runs, rounds, json_file, titles, width):
    """Run each of @runs, which are (bench, name, function), once a round; write the results, and
    print a table for each bench, with the ratios to its row "bare". A function returns a dictionary
    of figures."""
    results = {}
    for _ in range(rounds):
        for bench, name, run in runs:
            for key, value in run().items():
                results.setdefault(bench, {}).setdefault(name, {}).setdefault(key, []).append(value)
    with open(json_file, "w") as f:
        json.dump({"rounds": rounds, "results": results}, f, indent=1)
        f.write("\n")
    for bench, title in titles:
        print(title + "\n")
        keys = list(results[bench]["bare"])
        print(f"{'':16}" + "".join(f"{k:>{width}}" for k in keys))
        for name, values in results[bench].items():
            cells = []
            for key in keys:
                v, bare = values[key], statistics.median(results[bench]["bare"][key])
                median = statistics.median(v)
                cells.append(f"{median:,.1f} ({min(v):,.1f}..{max(v):,.1f}) {median / bare:.2f}x")
            print(f"{name:16}" + "".join(f"{c:>{width}}" for c in cells))
        print()
