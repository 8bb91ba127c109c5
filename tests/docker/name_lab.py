"""Asking for names from inside a lab's sandboxes, and a name server for the lab to forward to."""

import json
import subprocess
import sys
from dataclasses import dataclass

from swarm_lab import until

_DIG = """
import json, sys, dns.message, dns.query
name, kind, *ways = sys.argv[1:]
query = dns.message.make_query(name, kind, use_edns=False)
ask = dns.query.tcp if "tcp" in ways else dns.query.udp
reply = ask(query, "127.0.0.11", timeout=10)
def told(section):
    return [[s.name.to_text(), s.ttl, r.to_text()] for s in section for r in s]
print(json.dumps([dns.rcode.to_text(reply.rcode()), dns.flags.to_text(reply.flags).split(),
                  told(reply.answer), told(reply.additional)]))
"""

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
    """Asks 127.0.0.11 from inside of one container."""

    def __init__(self, lab, host, container):
        self._lab = lab
        self._host = host
        self._inside = ("nsenter", f"--net=/run/netns/{lab.sandbox(host, container)}")

    def ask(self, name, kind="A", *ways):
        """One question, over UDP without EDNS or ("tcp") over TCP."""
        said = self._lab.run(
            self._host, *self._inside, sys.executable, "-c", _DIG, name, kind, *ways
        )
        return Reply(*json.loads(said))

    def texts(self, name, kind="A"):
        return self.ask(name, kind).texts

    def becomes(self, name, *texts):
        """Wait until a name has exactly these answers."""
        until(lambda: self.texts(name) == sorted(texts), 60)


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
        self._process.communicate("", timeout=30)
