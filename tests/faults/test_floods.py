"""A thousand connections to each listener that say nothing, or half of something: so many at most
are kept, others are served meanwhile, and nothing is left of them afterwards."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from swarm_lab import until
from vitals import DAEMON, NAMES, Vitals

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
MANY = 1000
MANY_MORE = 1100
"""More than there may be connections on which something is being answered."""
MOST = 400
"""Descriptors that a flood may cost: what waits for a handshake, and what waits for a request."""
HALF = b"GET /_ping HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_BODY = (
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 900\r\n\r\n{"
)
ENDLESS = (
    "truncate -s 10G /run/endless; "
    "curl -s --max-time 100 --unix-socket /run/docker.sock -H 'Content-Type: application/json' "
    "-X POST -T {} http://x/networks/create </run/endless; rm /run/endless"
)
HALF_JOIN = b"POST /join HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n\x93"
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01"

FLOODS = {
    "the api, silent": ("api", "", b""),
    "the api, half a request": ("api", "", HALF),
    "metrics, silent": ("metrics", "", b""),
    "metrics, half a request": ("metrics", "", HALF),
    "the page, silent": ("page", "", b""),
    "the page, half a request": ("page", "", HALF),
    "the manager, silent": ("manager", "", b""),
    "the manager, half a handshake": ("manager", "", HALF_HELLO),
    "the manager, silent after TLS": ("manager", "tls", b""),
    "the manager, half a request": ("manager", "tls", HALF),
    "the manager, half of joining": ("manager", "tls", HALF_JOIN),
    "names, silent": ("names", "", b""),
    "names, half a question": ("names", "", b"\x00\x40\x12"),
}
FAST = ("the api, silent", "the manager, half a handshake", "names, silent")


def floods():
    for name, flood in FLOODS.items():
        yield pytest.param(*flood, id=name, marks=() if name in FAST else pytest.mark.fault)


class Listeners:
    """Where h1 listens, from where one gets there, and how to ask it something."""

    def __init__(self, lab):
        self._lab = lab
        manager = lab.address("h1")
        self.places = {
            "api": lab.socket("h1"), "metrics": "127.0.0.1 9323", "page": "127.0.0.1 2378",
            "manager": f"{manager} 2377", "names": "127.0.0.11 53",
        }  # fmt: skip

    def command(self, listener, script, *arguments):
        """The command line that runs a script of ours where the listener can be reached."""
        ours = [sys.executable, str(HERE / script), *arguments]
        if listener == "api":
            return ours
        if listener == "manager":
            return self._lab.inside("h2", *ours)
        if listener == "names":
            box = self._lab.words["h1"]["box"]
            return self._lab.inside("h1", "nsenter", f"--net=/run/netns/{box}", *ours)
        return self._lab.inside("h1", *ours)

    def until_all_answer(self):
        """Wait for that: a machine may be busy."""
        missed = []

        def answer():
            try:
                self._all_answer()
            except AssertionError as fault:
                missed[:] = [fault]
                return False
            return True

        try:
            until(answer, 120)
        except AssertionError:
            raise missed[0] from None

    def _all_answer(self):
        """Whoever else asks is served: users, measurers, browsers, other containers, hosts."""
        lab = self._lab
        task = lab.words["h1"]["task"]
        assert lab.answers("h1"), "the API"
        assert lab.metrics("h1")["skep_kernel_changes_total"] > 0, "metrics"
        assert "<html" in lab.shell("h1", "curl -sm 20 http://127.0.0.1:2378/"), "the page"
        states = lab.docker("h1", "node", "ls", "--format", "{{.Status}}").split()
        assert states == ["Ready"] * 3, "hosts' sessions"
        ask = f"nsenter --net=/run/netns/{task} busybox nslookup box-h2 127.0.0.11"
        assert "Address: 10.50." in lab.shell("h1", ask, check=False), "names"
        fresh = "curl -skm 20 https://{}:2377/ca".format(lab.address("h1"))
        assert "BEGIN CERTIFICATE" in lab.shell("h3", fresh), "the manager, for strangers"


@pytest.fixture(scope="module")
def listeners(faulty):
    return Listeners(faulty)


@contextmanager
def flooded(listeners, listener, secret, said, many=MANY):
    """Many connections, while the block lasts."""
    arguments = (listeners.places[listener], str(many), secret, said.hex())
    process = subprocess.Popen(
        listeners.command(listener, "hold_open.py", *arguments),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout.readline().startswith("open")
        yield
        process.stdin.close()


@pytest.mark.parametrize(("listener", "secret", "said"), list(floods()))
def test_a_thousand_connections(faulty, listeners, listener, secret, said):
    process = NAMES if listener == "names" else DAEMON
    before = Vitals(faulty, "h1", process)
    with flooded(listeners, listener, secret, said):
        until(lambda: before.look()[1] <= before.files + MOST, 120)
        listeners.until_all_answer()
    before.check()
    listeners.until_all_answer()


def test_bodies_that_never_end(faulty, listeners):
    """They wait for a while, but keep nobody out: after a moment they make room for others."""
    before = Vitals(faulty, "h1")
    with flooded(listeners, "api", "", HALF_BODY, MANY_MORE):
        until(lambda: before.look()[1] <= before.files + MOST, 120)
        listeners.until_all_answer()
    before.check()


@pytest.mark.parametrize("source", ["/run/endless", "-"], ids=["announced", "in chunks"])
def test_a_body_of_ten_gigabytes(faulty, source):
    """It is refused as soon as it is seen to be too large, and none of it is kept."""
    before = Vitals(faulty, "h1")
    said = faulty.shell("h1", ENDLESS.format(source))
    assert '"message":"http: request body too large' in said, said
    before.check()
