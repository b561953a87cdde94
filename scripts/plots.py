#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Plots, as SVG and PNG, of the raw results in a directory, beside them, by gnuplot.

usage: plots.py RESULTS_DIR
"""
import json
import os
import statistics
import subprocess
import sys

results = sys.argv[1]


def rows_of(name):
    path = os.path.join(results, name + ".json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [row for bench in json.load(f)["benches"] for row in bench["rows"]]


def median(row, key):
    return (row.get(key) or {}).get("median")


def plot(name, commands, data):
    """@data: what the commands read as $data."""
    lines = "\n".join("\t".join(str(field) for field in line) for line in data)
    for terminal, suffix in (
            ("svg noenhanced size 900,480 font 'sans,13' background 'white'", "svg"),
            ("pngcairo noenhanced size 900,480 font 'sans,11'", "png")):
        path = os.path.join(results, f"{name}.{suffix}")
        script = (f"set terminal {terminal}\nset output '{path}'\nset datafile separator tab\n"
                  f"$data << END\n{lines}\nEND\nset grid y\nset key top left\n{commands}\n")
        subprocess.run(["gnuplot"], input=script, text=True, check=True)


def bars(name, title, label, rows, keys):
    """A group of bars for each row, a bar for each (key, title) of keys."""
    data = [[row["name"]] + [median(row, key) or "NaN" for key, _ in keys] for row in rows]
    if not data:
        return
    columns = ", ".join(f"$data using {i + 2}:xtic(1) title '{what}'"
                        for i, (_, what) in enumerate(keys))
    plot(name, f"set title '{title}'\nset ylabel '{label}'\nset style data histograms\n"
         f"set style fill solid 0.8\nset yrange [0:*]\nset xtics rotate by -25\nplot {columns}",
         data)


def latency(rows):
    points = [("p50_ns", "50"), ("p99_ns", "99"), ("p999_ns", "99.9"), ("p9999_ns", "99.99")]
    rows = [row for row in rows if all(median(row, key) for key, _ in points)]
    if not rows:
        return
    data = [[what] + [median(row, key) for row in rows] for key, what in points]
    lines = ", ".join(f"$data using {i + 2}:xtic(1) with linespoints title '{row['name']}'"
                      for i, row in enumerate(rows))
    plot("latency",
         "set title 'One deferral, as its caller sees it'\nset logscale y\nset format y '%.0f'\n"
         "set ylabel 'nanoseconds'\nset xlabel 'percentile'\nset key outside right\n"
         f"plot {lines}", data)


def flood(rows):
    parts = range(10, 101, 10)
    rows = [row for row in rows if median(row, "rss_10") is not None]
    if not rows:
        return
    data = [[part] + [(median(row, f"rss_{part}") or 0) / 2**20 for row in rows] for part in parts]
    lines = ", ".join(f"$data using 1:{i + 2} with linespoints title '{row['name']}'"
                      for i, row in enumerate(rows))
    plot("flood-memory", "set title 'Memory while two threads defer as fast as they can'\n"
         "set ylabel 'MiB resident'\nset xlabel 'percent of the time'\nset key outside right\n"
         f"plot {lines}", data)


def working_set():
    depths = sorted(int(name[len("depth-"):-len(".json")]) for name in os.listdir(results)
                    if name.startswith("depth-") and name.endswith(".json"))
    if not depths:
        return
    names = [row["name"] for row in rows_of(f"depth-{depths[0]}")]
    data = []
    for depth in depths:
        rows = {row["name"]: row for row in rows_of(f"depth-{depth}")}
        data.append([depth * 128 / 2**20] +
                    [median(rows[name], "random_touch_ns") for name in names])
    lines = ", ".join(f"$data using 1:{i + 2} with linespoints title '{name}'"
                      for i, name in enumerate(names))
    plot("working-set", "set title 'Invoking callbacks on objects of 128 bytes, in random order'\n"
         "set logscale xy\nset format y '%.0f'\nset ylabel 'nanoseconds each'\n"
         f"set xlabel 'MiB of objects pending'\nplot {lines}", data)


def mutex_cost():
    path = os.path.join(results, "lockdep.json")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as f:
        pairs = json.load(f)["results"]["pair"]
    data = [[name] + [statistics.median(pairs[name][key]) for key in ("pair", "nested")]
            for name in pairs]
    plot("mutex-cost", "set title 'Locking and unlocking an uncontended mutex'\n"
         "set ylabel 'nanoseconds'\nset style data histograms\nset style fill solid 0.8\n"
         "set yrange [0:*]\nplot $data using 2:xtic(1) title 'alone', "
         "$data using 3:xtic(1) title 'inside another'", data)


defer = rows_of("defer")
bars("cost", "malloc, write, defer, free: an object of 64 bytes", "nanoseconds", defer,
     [("caller_ns", "the calling thread, elapsed"), ("cpu_ns", "all threads, CPU time")])
bars("cost-cache", "The same, with object caches", "nanoseconds", rows_of("cache"),
     [("caller_ns", "the calling thread, elapsed"), ("cpu_ns", "all threads, CPU time")])
latency(defer)
bars("invoke-order", "Invoking 4 million callbacks on objects of 128 bytes", "nanoseconds each",
     rows_of("invoke"),
     [("sequential_touch_ns", "in the order of memory"), ("random_touch_ns", "in random order")])
flood(rows_of("flood"))
working_set()
mutex_cost()
