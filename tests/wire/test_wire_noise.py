"""Noise on a session, by who has a good certificate: WebSocket frames and msgpack that are right
but for a few bytes. Real TLS on the loopback. Nothing is left of it, and honest agents are
served."""

import asyncio
import logging
import os
import time

import msgspec
import pytest
from conftest import Manager
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from skep.model.cluster import NodeDescription
from skep.model.errors import UNREADABLE
from skep.model.messages import Beat, Detach, FromAgent, FromManager, Hello, Resync, Status
from skep.wire.authority import SERVER_NAME
from skep.wire.calls import JoinCall, RefusalReply, RenewCall
from skep.wire.client import AgentConnection
from skep.wire.server import Endpoint
from skep.wire.tls import client_context

BOUNDED = settings(
    max_examples=25, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
UPGRADE = (
    b"GET /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
encode = msgspec.msgpack.Encoder().encode
HELLO = Hello(description=NodeDescription(hostname="h"), address="10.0.0.2", vtep="10.0.0.2")
SAID = [encode(each) for each in (HELLO, Beat(applied=7), Detach(task_id="t"), Resync(),
                                  Status(tasks={}))]  # fmt: skip


def frame(payload, first=0x82):
    """A client's WebSocket frame, masked with zeroes."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else (
        b"\xfe" + len(payload).to_bytes(2, "big"))  # fmt: skip
    return bytes([first]) + size + bytes(4) + payload


@st.composite
def altered(draw, examples):
    """An example with a few bytes changed, cut off or put in."""
    found = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert"])):
            case "change" if found:
                found[at] = draw(st.integers(0, 255))
            case "cut":
                del found[at:]
            case _:
                found[at:at] = draw(st.binary(max_size=8))
    return bytes(found)


MESSAGES = st.one_of(altered(SAID), st.binary(max_size=200))
FRAMES = st.one_of(
    st.builds(lambda flag, said: frame(flag + said), st.sampled_from([b"\0", b"\1", b"\7", b""]),
              MESSAGES),
    st.builds(lambda kind, said: frame(said, kind), st.integers(0, 255), st.binary(max_size=125)),
    altered([frame(b"\0" + each) for each in SAID]),
    st.binary(max_size=100),
)  # fmt: skip
GREETED = st.sampled_from([b"", frame(b"\0" + SAID[0])])


class Watch:
    """What goes wrong unseen: faults in tasks nobody waits for, and what asyncio logs."""

    def __init__(self, loop, caplog):
        self.faults = []
        caplog.set_level(logging.ERROR)
        self._caplog = caplog
        loop.set_exception_handler(lambda _, context: self.faults.append(context))

    def check(self):
        assert self.faults == []
        assert [each.getMessage() for each in self._caplog.records] == []


async def say(port, context, said):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=SERVER_NAME
    )
    try:
        writer.write(UPGRADE + said)
        async with asyncio.timeout(0.2):
            while await reader.read(1 << 16):
                pass
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def attacked(cluster, manager, caplog, cases):
    endpoint = Endpoint(cluster.manager, manager)
    await endpoint.start("127.0.0.1", 0)
    watch = Watch(asyncio.get_running_loop(), caplog)
    context = client_context(cluster.ca, cluster.worker)
    before, tasks = descriptors(), len(asyncio.all_tasks())
    try:
        await asyncio.gather(*(say(endpoint.port, context, each) for each in cases))
        await until(lambda: descriptors() <= before + 2 and len(asyncio.all_tasks()) <= tasks + 2)
        honest = AgentConnection(cluster.worker, {"m": f"127.0.0.1:{endpoint.port}"},
                                 lambda: [HELLO])  # fmt: skip
        reading = asyncio.create_task(anext(honest.messages(), None))
        async with asyncio.timeout(60):
            await honest.connected.wait()
        await honest.close()
        await reading
    finally:
        await endpoint.close()
    watch.check()


@pytest.mark.filterwarnings("ignore")
def test_noise_on_a_session_harms_nobody(cluster, caplog):
    @seed(6)
    @BOUNDED
    @given(st.lists(st.builds(lambda greeting, said: greeting + b"".join(said), GREETED,
                              st.lists(FRAMES, max_size=4)), min_size=10, max_size=20))  # fmt: skip
    def check(cases):
        async def run():
            await attacked(cluster, Manager(cluster), caplog, cases)

        asyncio.run(run())

    check()


@pytest.mark.parametrize("kind", [FromAgent, FromManager, JoinCall, RenewCall, RefusalReply])
def test_msgpack_is_read_or_refused(kind):
    """Anything else than a message is one kind of error, whatever it is."""
    decoder = msgspec.msgpack.Decoder(kind)

    @seed(6)
    @settings(BOUNDED, max_examples=400)
    @given(MESSAGES)
    def check(said):
        try:
            decoder.decode(said)
        except UNREADABLE:
            return

    begun = time.monotonic()
    check()
    assert time.monotonic() - begun < 60, "no message takes long to refuse"
