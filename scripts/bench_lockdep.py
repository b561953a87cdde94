#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""What "anyrcu lockdep" costs: a mutex pair, and redis, memcached, nginx and sqlite at work, beside
valgrind's helgrind and, if such a redis is given, ThreadSanitizer. All are run in turn, in each
round once.
usage: bench_lockdep.py ANYRCU JSON_FILE [REDIS_SERVER_BUILT_WITH_TSAN]"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

from interleaved import measure

anyrcu, json_file, *tsan = sys.argv[1:]
rounds = 5
watched = [anyrcu, "lockdep", "--"]
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
work = tempfile.TemporaryDirectory()
os.chmod(work.name, 0o755)
pair, sqlite_work = os.path.join(work.name, "pair"), os.path.join(work.name, "sqlite")
redis_socket, cache_socket = os.path.join(work.name, "redis"), os.path.join(work.name, "memcached")
loopback = socket.gethostbyname("localhost")
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def mutex_pair(before):
    out = subprocess.run(before + [pair], check=True, capture_output=True, text=True).stdout
    return dict(zip(("pair", "nested"), map(float, out.split())))


def served(command, takes, load):
    """What @load returns, of a server that runs as soon as @takes. The client gets a CPU, so that
    it takes none from the server."""
    process = subprocess.Popen(["taskset", "-c", "0"] + command, **quiet)
    for _ in range(600):
        if takes():
            break
        time.sleep(0.1)
    result = load()
    process.terminate()
    process.wait()
    return result


def client(*command):
    return subprocess.run(["taskset", "-c", "1"] + list(command), check=True, capture_output=True,
                          text=True).stdout


def redis(before, server="redis-server", requests=400000):
    return served(
        before + [server, "--port", "0", "--unixsocket", redis_socket, "--save", "",
                  "--io-threads", "1"],
        lambda: subprocess.run(["redis-cli", "-s", redis_socket, "ping"], **quiet).returncode == 0,
        lambda: {m[1].lower(): float(m[2]) for m in re.finditer(
            r'^"(SET|GET)","([0-9.]+)"',
            client("redis-benchmark", "-s", redis_socket, "-t", "set,get", "-n", str(requests),
                   "-c", "30", "-P", "16", "--csv"), re.M)})


def memcached(before, requests=400000):
    """A client that sends 100 requests at a time."""
    def load():
        value, at_once = b"x" * 100, 100
        sets = b"".join(b"set k%d 0 0 100 noreply\r\n%s\r\n" % (n, value) for n in range(at_once))
        gets = b"".join(b"get k%d\r\n" % n for n in range(at_once))
        os.sched_setaffinity(0, {1})
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(cache_socket)
            s.sendall(sets + gets)
            size = sum(len(b"VALUE k%d 0 100\r\n" % n) + 102 + 5 for n in range(at_once))
            s.recv(size, socket.MSG_WAITALL)
            begin = time.monotonic()
            for _ in range(requests // at_once // 2):
                s.sendall(sets + gets)
                s.recv(size, socket.MSG_WAITALL)
            taken = time.monotonic() - begin
        os.sched_setaffinity(0, range(os.cpu_count()))
        return {"set and get": requests / taken}

    if os.path.exists(cache_socket):
        os.unlink(cache_socket)
    # It sets the limit for files to the number of connections, and valgrind, which keeps twelve
    # files for itself, refuses any but the limit that is left.
    return served(["prlimit", "--nofile=512"] + before +
                  ["memcached", "-u", "root", "-s", cache_socket, "-t", "4", "-c", "500"],
                  lambda: os.path.exists(cache_socket), load)


def nginx(before, seconds=2):
    config, page = os.path.join(work.name, "nginx.conf"), os.path.join(work.name, "page")
    with socket.socket() as s:
        s.bind((loopback, 0))
        port = s.getsockname()[1]
    with open(page, "w") as f:
        f.write("x" * 4000)
    with open(config, "w") as f:
        f.write(f"""worker_processes 1; daemon off; pid {work.name}/nginx.pid; error_log /dev/null;
            thread_pool readers threads=4; events {{ worker_connections 256; }}
            http {{ access_log off; aio threads=readers; sendfile off;
                   server {{ listen {loopback}:{port}; root {work.name}; }} }}""")

    def takes():
        with socket.socket() as s:
            return s.connect_ex((loopback, port)) == 0

    load = ["wrk", "-t1", "-c30", f"-d{seconds}", f"http://{loopback}:{port}/page"]
    out = served(before + ["nginx", "-e", "/dev/null", "-c", config], takes, lambda: client(*load))
    return {"requests": float(re.search(r"Requests/sec:\s*([0-9.]+)", out)[1])}


def sqlite(before):
    """8 threads insert 500 rows into two databases each, and count them."""
    with tempfile.TemporaryDirectory() as directory:
        begin = time.monotonic()
        subprocess.run(before + [sqlite_work, os.path.join(directory, "rows")], check=True, **quiet)
        return {"rows": 8000 / (time.monotonic() - begin)}


for program, source, *libraries in ((pair, "bench/mutex_pair.c"),
                                    (sqlite_work, "tests/lockdep/sqlite.c", "-lsqlite3")):
    subprocess.run(["cc", "-O2", "-pthread", "-o", program, os.path.join(root, source)] + libraries,
                   check=True)
helgrind = ["valgrind", "-q", "--tool=helgrind", "--log-file=/dev/null"]
runs = [
    ("pair", "bare", lambda: mutex_pair([])),
    ("pair", "anyrcu lockdep", lambda: mutex_pair(watched)),
    ("redis", "bare", lambda: redis([])),
    ("redis", "anyrcu lockdep", lambda: redis(watched)),
    ("redis", "helgrind", lambda: redis(helgrind, requests=20000)),
    ("memcached", "bare", lambda: memcached([])),
    ("memcached", "anyrcu lockdep", lambda: memcached(watched)),
    ("memcached", "helgrind", lambda: memcached(helgrind, requests=20000)),
    ("nginx", "bare", lambda: nginx([])),
    ("nginx", "anyrcu lockdep", lambda: nginx(watched)),
    ("nginx", "helgrind", lambda: nginx(helgrind)),
    ("sqlite", "bare", lambda: sqlite([])),
    ("sqlite", "anyrcu lockdep", lambda: sqlite(watched)),
    ("sqlite", "helgrind", lambda: sqlite(helgrind)),
]
if tsan:
    os.environ["TSAN_OPTIONS"] = "log_path=/dev/null"
    runs.append(("redis", "ThreadSanitizer", lambda: redis([], server=tsan[0], requests=50000)))
measure(runs, rounds, json_file, (
    ("pair", "an uncontended mutex, locked and unlocked: ns"),
    ("redis", "redis-benchmark, 30 clients, 16 requests at a time: requests a second"),
    ("memcached", "memcached, a client, 100 requests at a time: requests a second"),
    ("nginx", "nginx and wrk, 30 connections, a page of 4000 bytes: requests a second"),
    ("sqlite", "sqlite, 8 threads, a database in a file and one in memory: rows a second"),
), 46)
