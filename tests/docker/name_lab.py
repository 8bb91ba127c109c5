"""Asking for names from inside a lab's sandboxes, and a name server for the lab to forward to."""

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.query
import dns.rcode
from swarm_lab import until

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

# Answers every question with one address, notes who was asked for, and ends with its input.
_UPSTREAM = """
import os, socket, sys, threading, dns.message, dns.rrset
address, says, notes = sys.argv[1:]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((address, 53))
def serve():
    while True:
        data, asker = sock.recvfrom(4096)
        query = dns.message.from_wire(data)
        with open(notes, "a") as file:
            print(query.question[0].name, asker[0], file=file)
        reply = dns.message.make_response(query)
        reply.answer = [dns.rrset.from_text(query.question[0].name, 30, "IN", "A", says)]
        sock.sendto(reply.to_wire(), asker)
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


@dataclass(frozen=True)
class Reply:
    """What came back. ``answer`` and ``additional`` are (owner, TTL, text)."""

    rcode: str
    flags: list
    answer: list
    additional: list

    @property
    def texts(self):
        """The answers in order of the alphabet."""
        return sorted(text for _, _, text in self.answer)


class Asker:
    """Asks 127.0.0.11 from inside of one container. A thread of ours goes in: starting a Python for
    each question took longer than all that is asked."""

    def __init__(self, lab, host, container):
        self._space = lab.seen_outside(host, f"/run/netns/{lab.sandbox(host, container)}")

    def ask(self, name, kind="A", *ways):
        """One question, over UDP without EDNS or ("tcp") over TCP."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(self._ask, name, kind, ways).result()

    def _ask(self, name, kind, ways):
        with self._space.open() as space:
            if _LIBC.setns(space.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        query = dns.message.make_query(name, kind, use_edns=False)
        ask = dns.query.tcp if "tcp" in ways else dns.query.udp
        reply = ask(query, "127.0.0.11", timeout=60)
        flags = dns.flags.to_text(reply.flags).split()
        rcode = dns.rcode.to_text(reply.rcode())
        return Reply(rcode, flags, _told(reply.answer), _told(reply.additional))

    def texts(self, name, kind="A"):
        return self.ask(name, kind).texts

    def becomes(self, name, *texts):
        """Wait until a name has exactly these answers."""
        until(lambda: self.texts(name) == sorted(texts), 60)


def _told(section):
    return [[rrset.name.to_text(), rrset.ttl, each.to_text()] for rrset in section
            for each in rrset]  # fmt: skip


class Upstream:
    """A name server inside of a lab's host."""

    def __init__(self, lab, host, says, notes):
        self.address = lab.address(host)
        self._notes = notes
        notes.touch()
        command = (sys.executable, "-c", _UPSTREAM, self.address, says, str(notes))
        self._process = subprocess.Popen(
            lab.inside(host, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"

    def asked(self):
        """The names that were asked for so far."""
        return [line.split()[0] for line in self._notes.read_text().splitlines()]

    def end(self):
        self._process.communicate("", timeout=60)
