# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Clients of a server: usage: load.py memcached|http SOCKET|ADDRESS:PORT. Prints a hash of all that
came back."""
import hashlib
import socket
import sys
import threading


def connect():
    address, _, port = sys.argv[2].rpartition(":")
    if address:
        return socket.create_connection((address, int(port)))
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[2])
    return s


def memcached(client, told):
    f = connect().makefile("rwb")

    def ask(command, last):
        f.write(command + b"\r\n")
        f.flush()
        while True:
            line = f.readline()
            told.update(line)
            if not line or not last or line == last:
                break

    for n in range(4000):
        key, value = b"k%d_%d" % (client, n % 97), b"x" * (n * 37 % 5000)
        ask(b"set %s 0 0 %d\r\n%s" % (key, len(value), value), None)
        ask(b"get " + key, b"END\r\n")
        if n % 10 == 0:
            ask(b"delete " + key, None)
        if n % 500 == 0:
            ask(b"touch %s 100" % key, None)


def http(client, told):
    for n in range(300):
        s = connect()
        s.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % (1 + (n * 7 + client) % 20))
        answer = b""
        while part := s.recv(65536):
            answer += part
        told.update(answer.split(b"\r\n\r\n", 1)[1])


told = [hashlib.sha256() for _ in range(8)]
threads = [threading.Thread(target=globals()[sys.argv[1]], args=(n, told[n])) for n in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(hashlib.sha256("".join(t.hexdigest() for t in told).encode()).hexdigest())
