"""Noise, and messages that are right but for a few bytes, to everything that listens: nothing ends,
nothing is left of it, and no fault is logged."""

import subprocess

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_floods import Listeners
from vitals import DAEMON, NAMES, Vitals

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

BOUNDED = settings(
    max_examples=6, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
QUESTION = bytes.fromhex("12340100000100000000000006626f782d68320000010001")
REQUESTS = [
    b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1.43/containers/json?all=1&filters=%7B%22name%22%3A%5B%22a%22%5D%7D HTTP/1.1\r\n"
    b"Host: x\r\n\r\n",
    b"POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"Name":1\r\n1\r\n}\r\n0\r\n\r\n',
    b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    b"POST /build?dockerfile=x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    b"Content-Length: 12\r\n\r\nhello",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
    b"GET /" + b"%41" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"GET /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"POST /join HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\x93\xa1a",
]


@st.composite
def altered(draw, examples):
    """An example with a few bytes changed, cut off, doubled, or put in."""
    found = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(found)))
        match draw(st.sampled_from(["change", "cut", "double", "insert"])):
            case "change" if at < len(found):
                found[at] = draw(st.integers(0, 255))
            case "cut":
                del found[at:]
            case "double":
                found[at:at] = found[at : at + 16]
            case _:
                found[at:at] = draw(st.binary(max_size=8))
    return bytes(found)


def noise(*examples):
    """Many messages, most of which are nearly right."""
    some = st.one_of(altered(list(examples)), altered(list(examples)), st.binary(max_size=300))
    return st.lists(some, min_size=30, max_size=60)


def measured(question):
    """As a stream carries it, behind its length."""
    return len(question).to_bytes(2, "big") + question


@pytest.fixture(scope="module")
def say(faulty):
    """Says messages to a listener of h1."""
    listeners = Listeners(faulty)

    def send(listener, kind, messages):
        lines = "".join(f"{each.hex()}\n" for each in messages)
        done = subprocess.run(
            listeners.command(listener, "send_noise.py", kind, listeners.places[listener]),
            input=lines, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        assert done.stdout == "sent\n"

    send.until_all_answer = listeners.until_all_answer
    return send


@pytest.fixture
def unharmed(faulty, say):
    """Both processes are as they were, after the test."""
    before = [Vitals(faulty, "h1", process) for process in (DAEMON, NAMES)]
    yield
    for each in before:
        each.check()
    say.until_all_answer()


KINDS = {
    "names by UDP": ("names", "udp", noise(QUESTION)),
    "names by TCP": ("names", "tcp", noise(measured(QUESTION), measured(QUESTION) * 3)),
    "the api": ("api", "unix", noise(*REQUESTS)),
    "metrics": ("metrics", "tcp", noise(*REQUESTS)),
    "the page": ("page", "tcp", noise(*REQUESTS)),
    "the manager before TLS": ("manager", "tcp", noise(bytes.fromhex("160301004001"), *REQUESTS)),
    "the manager after TLS": ("manager", "tls", noise(*REQUESTS)),
}


FAST = ("names by UDP", "the api", "the manager after TLS")


def kinds():
    for name, kind in KINDS.items():
        yield pytest.param(*kind, id=name, marks=() if name in FAST else pytest.mark.fault)


@pytest.mark.parametrize(("listener", "kind", "messages"), list(kinds()))
def test_noise_harms_nobody(say, unharmed, listener, kind, messages):
    @seed(6)
    @BOUNDED
    @given(messages)
    def check(said):
        say(listener, kind, said)

    check()
