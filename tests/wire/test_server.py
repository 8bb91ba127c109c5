"""The endpoint as a stranger, a member and a villain meet it: real TLS on the loopback."""

import asyncio
import re
import socket
import ssl
import time

import aiohttp
import msgspec
import pytest

from skep.model.cluster import Attachment, TaskStatus
from skep.model.errors import Clash, Unavailable
from skep.model.messages import Attached, Beat, Goodbye, Status
from skep.wire.authority import Subject, make_key_and_csr, subject_of
from skep.wire.calls import Admission, JoinCall, RefusalReply, RenewCall
from skep.wire.channel import FROM_AGENT, MAX_FRAME, OF_AGENT, PIECE, Bounds, Channel
from skep.wire.server import Endpoint
from skep.wire.tls import client_context

WORKER_ID = "w" * 25


class Peer:
    """A client of the endpoint with or without a certificate."""

    def __init__(self, http: aiohttp.ClientSession, remote: str) -> None:
        self._http = http
        self._url = f"https://{remote}"

    async def get(self, path: str, body: object = None) -> tuple[int, bytes]:
        method = "GET" if body is None else "POST"
        data = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
        async with self._http.request(
            method, self._url + path, data=data if body else None, server_hostname="swarm-manager"
        ) as response:
            return response.status, await response.read()

    async def refusal(self, path: str, body: object = None) -> tuple[int, str]:
        status, data = await self.get(path, body)
        return status, msgspec.msgpack.decode(data, type=RefusalReply).message

    async def session(self) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect(
            self._url + "/session",
            server_hostname="swarm-manager",
            autoping=False,
            max_msg_size=MAX_FRAME,
        )


@pytest.fixture
async def meet(cluster, remote):
    sessions = []

    def connect(credentials=None) -> Peer:
        context = client_context(cluster.ca, credentials)
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
        sessions.append(http)
        return Peer(http, remote)

    yield connect
    for http in sessions:
        await http.close()


@pytest.fixture
async def begin(meet, cluster, manager, hello):
    """A worker's session, begun: the peer's channel, the manager's session, what it received."""
    channels = []

    async def start():
        channel = Channel(await meet(cluster.worker).session(), OF_AGENT)
        channels.append(channel)
        channel.send(msgspec.msgpack.encode(hello))
        session, received = await manager.sessions.get()
        return channel, session, received

    yield start
    for channel in channels:
        await channel.close("test over")


def join_call(candidate, secret="1" * 25):
    return JoinCall(secret, make_key_and_csr()[1], candidate)


async def test_anyone_may_have_the_ca_and_nothing_else(meet, cluster):
    stranger = meet()
    assert await stranger.get("/ca") == (200, cluster.ca.encode())
    for path, body in (("/session", None), ("/renew", RenewCall("x"))):
        assert await stranger.refusal(path, body) == (
            403,
            "this needs a certificate of the cluster",
        )
    assert (await stranger.get("/"))[0] == 404


async def test_a_welcome_host_gets_its_certificate(meet, manager, candidate):
    status, body = await meet().get("/join", join_call(candidate))
    admission = msgspec.msgpack.decode(body, type=Admission)
    assert status == 200
    assert subject_of(admission.certificate).role == "worker"
    assert admission.managers == {"m" * 25: "10.0.0.1:2377"}
    call, address = manager.calls[0]
    assert (call.candidate, address) == (candidate, "127.0.0.1")


async def test_who_fails_to_join_too_often_has_to_wait(meet, manager, candidate):
    stranger = meet()
    for _ in range(9):
        status, sentence = await stranger.refusal("/join", join_call(candidate, "0" * 25))
        assert (status, sentence[:24]) == (403, "A valid join token is ne")
    assert (await stranger.get("/join", join_call(candidate)))[0] == 200
    assert (await stranger.refusal("/join", b"nonsense"))[0] == 400
    status, sentence = await stranger.refusal("/join", join_call(candidate))
    assert status == 503
    assert sentence.startswith("too many failed attempts to join from 127.0.0.1; try again in ")
    assert len(manager.calls) == 10


async def test_a_manager_s_trouble_is_not_held_against_the_host(meet, manager, candidate):
    manager.refusal = Clash("the swarm has no room")
    stranger = meet()
    for _ in range(12):
        answer = await stranger.refusal("/join", join_call(candidate))
        assert answer == (409, "the swarm has no room")


async def test_large_and_malformed_requests_are_refused(meet):
    stranger = meet()
    assert await stranger.refusal("/join", bytes(100_000)) == (
        400,
        "the request is larger than 65536 bytes",
    )
    status, sentence = await stranger.refusal("/join", msgspec.msgpack.encode({"secret": 1}))
    assert status == 400
    assert sentence.startswith("the request was not understood: ")


async def test_a_session_carries_messages_both_ways(begin, until):
    channel, session, received = await begin()
    assert (session.node_id, session.role, session.address) == (WORKER_ID, "worker", "127.0.0.1")
    assert session.hello.vtep == "10.0.0.2"
    sent = [
        Beat(applied=3),
        Status(tasks={"t": TaskStatus(message="x" * 900_000)}),
        Beat(applied=4),
    ]
    for message in sent:
        channel.send(msgspec.msgpack.encode(message))
    await until(lambda: len(received) == 3)
    assert received == sent
    answer = Attached(
        serial=1, attachments=(Attachment(network_id="n" * (5 << 20), address="10.0.0.9/24"),)
    )
    await session.send(answer)
    await session.send(Goodbye(reason="x"))
    assert msgspec.msgpack.decode(await channel.receive(), type=Attached) == answer
    assert msgspec.msgpack.decode(await channel.receive(), type=Goodbye).reason == "x"


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
async def test_messages_of_any_size_arrive_whole(begin, size):
    channel, session, _ = await begin()
    session._channel.send(bytes(size))
    session._channel.send(b"next")
    assert await channel.receive() == bytes(size)
    assert await channel.receive() == b"next"


async def test_both_sides_hear_why_a_session_ends(begin, manager):
    channel, session, _ = await begin()
    await session.send(Goodbye(reason="you were removed"))
    await session.close("node removed")
    assert msgspec.msgpack.decode(await channel.receive(), type=Goodbye)
    assert await channel.receive() is None
    assert channel.reason == "node removed"
    assert await manager.ended.get() == "node removed"
    with pytest.raises(Unavailable, match="the session has ended: node removed"):
        await session.send(Goodbye(reason="late"))
    channel, session, _ = await begin()
    await channel.close("the host is leaving")
    assert await manager.ended.get() == "the host is leaving"


async def test_a_refusal_of_the_manager_s_ends_the_session_with_its_sentence(
    meet, cluster, manager, hello
):
    manager.refusal = Unavailable("there is no leader")
    channel = Channel(await meet(cluster.worker).session(), OF_AGENT)
    channel.send(msgspec.msgpack.encode(hello))
    assert await channel.receive() is None
    assert channel.reason == "there is no leader"
    await channel.close("")


async def test_removed_nodes_are_refused(meet, cluster, manager):
    manager.removed.add(WORKER_ID)
    worker = meet(cluster.worker)
    sentence = f"node {WORKER_ID} was removed from the swarm"
    assert await worker.refusal("/session") == (403, sentence)
    assert await worker.refusal("/renew", RenewCall("x")) == (403, sentence)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await worker.session()


async def test_a_certificate_of_another_cluster_is_refused(meet, foreign, manager):
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await meet(foreign.worker).get("/session")
    assert manager.sessions.empty()


async def test_a_certificate_that_names_another_cluster_is_refused(meet, cluster):
    stray = cluster.credentials(Subject(node_id="s" * 25, role="worker", cluster_id="d" * 25))
    assert await meet(stray).refusal("/session") == (
        403,
        "the certificate is of another cluster",
    )


async def test_an_expired_certificate_is_refused(meet, cluster, manager):
    worker = Subject(node_id=WORKER_ID, role="worker", cluster_id="c" * 25)
    late = cluster.credentials(worker, days=1, now=time.time() - 2 * 86400)
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await meet(late).get("/session")


async def test_a_session_begins_with_hello(meet, cluster, manager):
    channel = Channel(await meet(cluster.worker).session(), OF_AGENT)
    channel.send(msgspec.msgpack.encode(Beat(applied=1)))
    assert await channel.receive() is None
    assert channel.reason == "the first message was not Hello"
    await channel.close("")
    assert manager.sessions.empty()


async def until_cut(endpoint, context, sent: bytes) -> float:
    """How long a client that says no more than ``sent`` is suffered, in seconds."""
    before = time.monotonic()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        endpoint.port,
        ssl=context,
        server_hostname="swarm-manager" if context else None,
    )
    writer.write(sent)
    async with asyncio.timeout(60):
        await reader.read()
    writer.close()
    return time.monotonic() - before


async def test_silent_clients_are_shown_the_door(endpoint, cluster):
    context = client_context(cluster.ca, cluster.worker)
    begun = b"POST /join HTTP/1.1\r\nHost: x\r\n"
    upgrade = (
        b"GET /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    patience = await asyncio.gather(
        until_cut(endpoint, None, b""),
        until_cut(endpoint, context, b""),
        until_cut(endpoint, context, begun),
        until_cut(endpoint, context, begun + b"Content-Length: 9\r\n\r\nx"),
        until_cut(endpoint, context, upgrade),
    )
    assert 2 < min(patience) <= max(patience) < 12, patience


def hush(channel):
    """It lives on, but says nothing any more."""
    for task in channel._tasks:
        task.cancel()


async def test_a_dead_agent_is_noticed(begin, manager, unplug):
    channel, session, _ = await begin()
    hush(channel)
    unplug(session._channel._socket)
    before = time.monotonic()
    async with asyncio.timeout(60):
        assert await manager.ended.get() == "nothing was heard for 3 seconds"
    assert time.monotonic() - before > 2


async def test_a_mute_agent_whose_kernel_answers_is_borne_longer(begin, manager, monkeypatch):
    monkeypatch.setattr("skep.wire.channel.MUTE", 6.0)
    channel, _, _ = await begin()
    hush(channel)
    before = time.monotonic()
    why = await asyncio.wait_for(manager.ended.get(), 60)
    assert re.fullmatch(r"nothing was heard for \d+ seconds, though its host answers", why)
    assert time.monotonic() - before > 5


async def test_who_stood_still_holds_it_against_nobody(begin, manager):
    _, session, _ = await begin()
    time.sleep(4)  # nothing of this process goes on, neither end of the session
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(manager.ended.get(), 2)
    assert session.reason == ""


async def test_a_quiet_session_is_kept(begin, manager, until):
    channel, session, received = await begin()
    reading = asyncio.create_task(channel.receive())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(6):
            await manager.ended.get()
    assert (session.reason, channel.reason, reading.done()) == ("", "", False)
    channel.send(msgspec.msgpack.encode(Beat(applied=1)))
    await until(lambda: received)
    reading.cancel()


async def test_oversize_messages_end_the_session(begin, manager):
    channel, _, _ = await begin()
    channel._bounds = Bounds(send=1 << 30, receive=1 << 20)
    channel.send(bytes(FROM_AGENT + 1))
    assert await manager.ended.get() == "a message is larger than 1048576 bytes"


async def test_oversize_frames_end_the_session(begin, manager):
    channel, _, _ = await begin()
    await channel._websocket.send_bytes(bytes(MAX_FRAME + 1))
    assert "exceed" in await manager.ended.get()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "the other side speaks another protocol"),
        (b"\7x", "the other side speaks another protocol"),
        (b"\0nonsense", "message not understood: "),
        (b"\0" + msgspec.msgpack.encode(Goodbye(reason="x")) + b"x", "message not understood: "),
    ],
)
async def test_nonsense_ends_the_session(begin, manager, frame, reason):
    channel, _, received = await begin()
    await channel._websocket.send_bytes(frame)
    assert (await manager.ended.get()).startswith(reason)
    assert received == []


async def test_a_slow_agent_is_cut_off(begin, manager):
    _, session, _ = await begin()
    before = time.monotonic()
    with pytest.raises(Unavailable, match="the other side is too slow"):
        while True:
            await session.send(Goodbye(reason="x" * (30 << 20)))
            await asyncio.sleep(0)
    assert await manager.ended.get() == "the other side is too slow"
    assert time.monotonic() - before < 5


async def test_an_agent_that_reads_nothing_is_cut_off_in_the_end(begin, manager):
    _, session, _ = await begin()
    await session.send(Goodbye(reason="x" * (30 << 20)))
    async with asyncio.timeout(60):
        assert await manager.ended.get() == "the other side is too slow"


async def test_a_renewed_certificate_is_shown_from_then_on(endpoint, cluster, meet):
    fresh = cluster.credentials(Subject(node_id="m" * 25, role="manager", cluster_id="c" * 25))
    endpoint.renewed(fresh)
    await meet().get("/ca")
    context = client_context(cluster.ca)
    _, writer = await asyncio.open_connection(
        "127.0.0.1", endpoint.port, ssl=context, server_hostname="swarm-manager"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert ssl.DER_cert_to_PEM_cert(shown).strip() == fresh.certificate.strip()


async def test_older_tls_is_refused(endpoint, cluster):
    context = client_context(cluster.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection(
            "127.0.0.1", endpoint.port, ssl=context, server_hostname="swarm-manager"
        )


async def test_a_taken_port_is_a_sentence(endpoint, cluster, manager):
    second = Endpoint(cluster.manager, manager)
    with pytest.raises(Unavailable, match=rf"cannot listen on 127.0.0.1:{endpoint.port}: "):
        await second.start("127.0.0.1", endpoint.port)


async def test_closing_ends_everything(begin, endpoint, manager):
    channel, _, _ = await begin()
    port = endpoint.port
    await endpoint.close()
    assert await channel.receive() is None
    assert channel.reason == "the manager is stopping"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
