"""A client of the mesh, and a server for it, run inside a lab's host. Prints JSON.

``load ADDRESS PORT COUNT THREADS PAUSE``: so many requests; who answered, saw whom, what failed.
``turns COUNT ADDRESS:PORT …``: one request to each in turn; who answered where.
``udp ADDRESS PORT SECONDS``: a datagram every 20 ms from one socket; the answers in their order.
``hold ADDRESS PORT``: one connection kept open; a request on it, and its answer, per line of input.
``pour PORT COUNT [ADDRESS]``: sends so many bytes to whoever connects; ``drink ADDRESS PORT``
counts them.
``serve-udp PORT NAME [ADDRESS]``: answers datagrams with its name and their sender.
"""

import collections
import http.client
import json
import socket
import sys
import threading
import time

TIMEOUT = 25
FAULTS = (OSError, http.client.HTTPException, ValueError)


def ask(connection, *, close=True):
    """One request; the server's host name, and the client that it saw."""
    connection.request("GET", "/", headers={"Connection": "close"} if close else {})
    head, body = connection.getresponse().read().decode().split("\n", 2)[:2]
    return head.rpartition(" ")[2], body.removeprefix("<p>client ").removesuffix("</p>")


def connect(address, port):
    return http.client.HTTPConnection(address, int(port), timeout=TIMEOUT)


class Load:
    def __init__(self, address, port, count, pause):
        self.place = address, port
        self.pause = float(pause)
        self.left = iter(range(int(count)))
        self.lock = threading.Lock()
        self.answered, self.seen, self.failed = (collections.Counter() for _ in range(3))

    def work(self):
        while True:
            with self.lock:
                if next(self.left, None) is None:
                    return
            try:
                server, client = ask(connect(*self.place))
            except FAULTS as error:
                with self.lock:
                    self.failed[f"{time.time():.2f} {error!r}"] += 1
            else:
                with self.lock:
                    self.answered[server] += 1
                    self.seen[client] += 1
            time.sleep(self.pause)


def load(address, port, count, threads, pause="0"):
    work = Load(address, port, count, pause)
    workers = [threading.Thread(target=work.work) for _ in range(int(threads))]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return {"answered": work.answered, "seen": work.seen, "failed": work.failed}


def turns(count, *places):
    answered = {place: collections.Counter() for place in places}
    for _ in range(int(count)):
        for place in places:
            server, _ = ask(connect(*place.split(":")))
            answered[place][server] += 1
    return answered


def udp(address, port, seconds):
    asked = socket.socket(_family(address), socket.SOCK_DGRAM)
    asked.settimeout(0.5)
    asked.connect((address, int(port)))
    answers = []
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            asked.send(b"?")
            answers.append(asked.recv(512).decode())
        except OSError as error:
            answers.append(type(error).__name__)
        if len(answers) == 1:
            print("asking", flush=True)
        time.sleep(0.02)
    return answers


def hold(address, port):
    connection = connect(address, port)
    connection.connect()
    print("open", flush=True)
    for _ in sys.stdin:
        try:
            print(json.dumps(ask(connection, close=False)), flush=True)
        except FAULTS as error:
            print(json.dumps(repr(error)), flush=True)
    return "closed"


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve_udp(port, name, address="0.0.0.0"):
    server = socket.socket(_family(address), socket.SOCK_DGRAM)
    server.bind((address, int(port)))
    print("ready", flush=True)
    while True:
        _, client = server.recvfrom(512)
        server.sendto(f"{name} {client[0]}".encode(), client)


def pour(port, count, address="0.0.0.0"):
    server = socket.create_server((address, int(port)), family=_family(address))
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(bytes(int(count)))


def drink(address, port):
    with socket.create_connection((address, int(port)), TIMEOUT) as connection:
        return sum(map(len, iter(lambda: connection.recv(65536), b"")))


if __name__ == "__main__":
    modes = {
        "load": load, "turns": turns, "udp": udp, "hold": hold, "serve-udp": serve_udp,
        "pour": pour, "drink": drink,
    }  # fmt: skip
    print(json.dumps(modes[sys.argv[1]](*sys.argv[2:])))
