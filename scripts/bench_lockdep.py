#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""What "anyrcu lockdep" costs: a mutex pair, and redis under redis-benchmark, beside valgrind's
helgrind and, if such a server is given, ThreadSanitizer. All are run in turn, in each round once.
usage: bench_lockdep.py ANYRCU JSON_FILE [REDIS_SERVER_BUILT_WITH_TSAN]"""
import os
import re
import subprocess
import sys
import tempfile
import time

from interleaved import measure

anyrcu, json_file, *tsan = sys.argv[1:]
rounds = 5
watched = [anyrcu, "lockdep", "--"]
source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "mutex_pair.c")
work = tempfile.TemporaryDirectory()
pair, redis_socket = os.path.join(work.name, "pair"), os.path.join(work.name, "redis")
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def mutex_pair(before):
    out = subprocess.run(before + [pair], check=True, capture_output=True, text=True).stdout
    return dict(zip(("pair", "nested"), map(float, out.split())))


def redis(before, server="redis-server", requests=400000):
    # The client gets a CPU, so that it takes none from the server.
    process = subprocess.Popen(["taskset", "-c", "0"] + before +
                               [server, "--port", "0", "--unixsocket", redis_socket, "--save", "",
                                "--io-threads", "1"], **quiet)
    for _ in range(600):
        if subprocess.run(["redis-cli", "-s", redis_socket, "ping"], **quiet).returncode == 0:
            break
        time.sleep(0.1)
    out = subprocess.run(["taskset", "-c", "1", "redis-benchmark", "-s", redis_socket,
                          "-t", "set,get", "-n", str(requests), "-c", "30", "-P", "16", "--csv"],
                         check=True, capture_output=True, text=True).stdout
    subprocess.run(["redis-cli", "-s", redis_socket, "shutdown", "nosave"], **quiet)
    process.wait()
    return {m[1].lower(): float(m[2]) for m in re.finditer(r'^"(SET|GET)","([0-9.]+)"', out, re.M)}


subprocess.run(["cc", "-O2", "-pthread", "-o", pair, source], check=True)
helgrind = ["valgrind", "-q", "--tool=helgrind", "--log-file=/dev/null"]
runs = [
    ("pair", "bare", lambda: mutex_pair([])),
    ("pair", "anyrcu lockdep", lambda: mutex_pair(watched)),
    ("redis", "bare", lambda: redis([])),
    ("redis", "anyrcu lockdep", lambda: redis(watched)),
    ("redis", "helgrind", lambda: redis(helgrind, requests=20000)),
]
if tsan:
    os.environ["TSAN_OPTIONS"] = "log_path=/dev/null"
    runs.append(("redis", "ThreadSanitizer", lambda: redis([], server=tsan[0], requests=50000)))
measure(runs, rounds, json_file, (
    ("pair", "an uncontended mutex, locked and unlocked: ns"),
    ("redis", "redis-benchmark, 30 clients, 16 requests at a time: requests a second"),
), 46)
