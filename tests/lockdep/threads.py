# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""What Python has for threads, and signals and processes beside them."""
import concurrent.futures
import hashlib
import multiprocessing
import os
import queue
import signal
import subprocess
import threading

signal.signal(signal.SIGUSR1, lambda *_: None)
todo, done, lock, finished = queue.Queue(), [], threading.RLock(), threading.Condition()


def work():
    while (n := todo.get()) is not None:
        with lock, lock:
            done.append(hashlib.sha256(bytes([n % 256]) * 100000).hexdigest())
        with finished:
            finished.notify()


threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for n in range(5000):
    todo.put(n)
    if n % 100 == 0:
        os.kill(os.getpid(), signal.SIGUSR1)
with finished:
    finished.wait_for(lambda: len(done) == 5000)
for t in threads:
    todo.put(None)
for t in threads:
    t.join()
print(hashlib.sha256("".join(sorted(done)).encode()).hexdigest())
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda n: n * n, range(20000))))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sum(pool.map(abs, range(-100, 0))))
print(subprocess.check_output(["echo", "child"]))
