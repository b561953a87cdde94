#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""What "anyrcu lockstat" and "anyrcu lockdep" add to a mutex pair that nobody else wants, and what
lockstat adds to redis. All are run in turn, in each round once.
usage: bench_lockstat.py ANYRCU JSON_FILE [ANYRCU_TO_COMPARE_WITH]"""
import os
import re
import subprocess
import sys
import tempfile
import time

from interleaved import measure

anyrcu, json_file, *other = sys.argv[1:]
rounds = 5
source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "mutex_pair.c")
work = tempfile.TemporaryDirectory()
pair, redis_socket = os.path.join(work.name, "pair"), os.path.join(work.name, "redis")
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
lockstat = [anyrcu, "lockstat", "-o", "/dev/null", "--"]


def mutex_pair(before):
    out = subprocess.run(before + [pair], check=True, capture_output=True, text=True).stdout
    return dict(zip(("pair", "nested"), map(float, out.split())))


def redis(before):
    # The client gets a CPU, so that it takes none from the server.
    process = subprocess.Popen(["taskset", "-c", "0"] + before +
                               ["redis-server", "--port", "0", "--unixsocket", redis_socket,
                                "--save", "", "--io-threads", "1"], **quiet)
    while subprocess.run(["redis-cli", "-s", redis_socket, "ping"], **quiet).returncode != 0:
        time.sleep(0.1)
    # The time that the server's main thread was on a CPU, as another program's takes none of that.
    pid = re.search(r"process_id:(\d+)",
                    subprocess.run(["redis-cli", "-s", redis_socket, "info", "server"], check=True,
                                   capture_output=True, text=True).stdout)[1]

    def cpu():
        return int(open(f"/proc/{pid}/schedstat").read().split()[0])

    results = {"set": [], "get": []}
    for test in ["set", "get"] * 4:
        begin, requests = cpu(), 100000
        subprocess.run(["taskset", "-c", "1", "redis-benchmark", "-s", redis_socket, "-t", test,
                        "-n", str(requests), "-c", "30", "-P", "16", "-q"],
                       check=True, **quiet)
        results[test].append((cpu() - begin) / requests)
    results = {test: min(ns) for test, ns in results.items()}
    subprocess.run(["redis-cli", "-s", redis_socket, "shutdown", "nosave"], **quiet)
    process.wait()
    return results


subprocess.run(["cc", "-O2", "-pthread", "-o", pair, source], check=True)
runs = [("pair", "bare", lambda: mutex_pair([]))]
if other:
    runs.append(("pair", "lockdep, before", lambda: mutex_pair([other[0], "lockdep", "--"])))
runs += [
    ("pair", "lockdep", lambda: mutex_pair([anyrcu, "lockdep", "--"])),
    ("pair", "lockstat", lambda: mutex_pair(lockstat)),
    ("redis", "bare", lambda: redis([])),
    ("redis", "lockstat", lambda: redis(lockstat)),
]
measure(runs, rounds, json_file, (
    ("pair", "an uncontended mutex, locked and unlocked, alone and inside another: ns,"
             " the least of 2000 times 5000"),
    ("redis", "redis-server, 30 clients, 16 requests at a time: ns of the server's CPU time for a"
              " request, the least of 4 times 100,000"),
), 32)
