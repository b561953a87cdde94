#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""What "anyrcu lockdep" adds to the start of Xvfb, the shutdown of MariaDB and pgbench; bare and
watched in turn, in each round once. As root, or as whoever may run PostgreSQL.
usage: bench_programs.py ANYRCU JSON_FILE"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from interleaved import measure

anyrcu, json_file = os.path.abspath(sys.argv[1]), sys.argv[2]
rounds = 7
work = tempfile.mkdtemp()
os.chmod(work, 0o711)
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
watched = [anyrcu, "lockdep", "-o", "/dev/null", "--"]
postgres = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
as_nobody = []
if os.getuid() == 0:
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def until(*command):
    while subprocess.run(command, **quiet).returncode != 0:
        time.sleep(0.01)


def xvfb(before):
    """Until it says which display it has, which it does when it takes clients."""
    begin = time.monotonic()
    process = subprocess.Popen(before + ["Xvfb", "-displayfd", "1", "-nolisten", "tcp"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    taken = time.monotonic() - begin
    process.terminate()
    process.wait()
    return {"ms": taken * 1000}


def mariadb(before):
    data, at = os.path.join(work, "mysql"), os.path.join(work, "sql")
    if not os.path.exists(data):
        subprocess.run(["mariadb-install-db", "--no-defaults", "--datadir=" + data, "--user=root",
                        "--auth-root-authentication-method=normal"], check=True, **quiet)
    process = subprocess.Popen(before + ["mariadbd", "--no-defaults", "--datadir=" + data,
                                         "--user=root", "--skip-networking", "--socket=" + at,
                                         "--pid-file=" + at + ".pid"], **quiet)
    until("mariadb", "-S", at, "-u", "root", "-e", "select 1")
    begin = time.monotonic()
    subprocess.run(["mariadb-admin", "-S", at, "-u", "root", "shutdown"], check=True, **quiet)
    process.wait()
    return {"ms": (time.monotonic() - begin) * 1000}


def pgbench(before):
    data, bench = os.path.join(work, "pg"), os.path.join(postgres, "pgbench")
    there = ["-h", data, "-U", "test", "postgres"]
    first = not os.path.exists(data)
    if first:
        os.mkdir(data)
        if as_nobody:
            shutil.chown(data, "nobody", "nogroup")
        subprocess.run(as_nobody + [postgres + "/initdb", "-D", data + "/d", "-A", "trust", "-U",
                                    "test", "-N"], check=True, cwd="/", **quiet)
    process = subprocess.Popen(before + as_nobody + [
        postgres + "/postgres", "-D", data + "/d", "-k", data, "-c", "listen_addresses=",
        "-c", "fsync=off"], cwd="/", **quiet)
    until("psql", "-c", "select 1", *there)
    if first:
        subprocess.run([bench, "-i", "-s", "2"] + there, check=True, **quiet)
    out = subprocess.run(before + [bench, "-c", "4", "-j", "2", "-T", "4"] + there, check=True,
                         capture_output=True, text=True).stdout
    process.terminate()
    process.wait()
    return {"us a transaction": 4e6 / int(re.search(r"processed: (\d+)", out)[1])}


runs = [(bench, name, lambda f=function, b=before: f(b))
        for bench, function in (("xvfb", xvfb), ("mariadb", mariadb), ("pgbench", pgbench))
        for name, before in (("bare", []), ("lockdep", watched))]
try:
    measure(runs, rounds, json_file, (
        ("xvfb", "Xvfb, until it takes clients"),
        ("mariadb", "MariaDB, from the request to shut down until it has ended"),
        ("pgbench", "pgbench, 4 clients for 4 s; server and client watched"),
    ), 40)
finally:
    shutil.rmtree(work)
