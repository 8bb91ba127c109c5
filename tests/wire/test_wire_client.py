"""A host's road into a swarm and its session there: real TLS on the loopback, on both loops."""

import asyncio
import socket
import ssl
import time
from contextlib import aclosing, asynccontextmanager
from unittest.mock import Mock

import aiohttp
import pytest
import uvloop

from skep.model.errors import Broken, Clash, Forbidden, Invalid, Unavailable
from skep.model.messages import Beat, Goodbye, LogPiece
from skep.wire import calls
from skep.wire.authority import Subject, subject_of
from skep.wire.client import AgentConnection, join, renew
from skep.wire.server import Endpoint
from skep.wire.tls import load_own, server_context


@pytest.fixture(
    scope="module",
    params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy],
    ids=["asyncio", "uvloop"],
)
def event_loop_policy(request):
    return request.param()


@pytest.fixture
def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@asynccontextmanager
async def serving(handler, context=None):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def manager_of(cluster, hooks, port=0):
    endpoint = Endpoint(cluster.manager, hooks)
    await endpoint.start("127.0.0.1", port)
    try:
        yield endpoint
    finally:
        await endpoint.close()


async def silent(reader, writer):
    await reader.read()
    writer.close()


class TestJoining:
    async def test_with_a_worker_s_token(self, cluster, remote, candidate, manager):
        joined = await join([remote], cluster.token(), candidate)
        assert joined.subject == Subject(node_id="n" * 25, role="worker", cluster_id="c" * 25)
        assert joined.credentials.ca == cluster.ca
        assert joined.managers == {"m" * 25: "10.0.0.1:2377"}
        assert (joined.remote, joined.address) == (remote, "127.0.0.1")
        assert manager.calls[0][0].candidate == candidate

    async def test_with_a_manager_s_token(self, cluster, remote, candidate):
        joined = await join([remote], cluster.token("manager"), candidate)
        assert joined.subject.role == "manager"

    async def test_by_any_remote_that_answers(self, cluster, remote, free_port, candidate):
        dead = f"127.0.0.1:{free_port}"
        assert (await join([dead, remote], cluster.token(), candidate)).remote == remote

    async def test_with_a_wrong_secret(self, cluster, remote, candidate):
        token = cluster.token()[:-25] + "0" * 25
        with pytest.raises(Forbidden, match=r"^A valid join token is necessary to join this clu"):
            await join([remote], token, candidate)

    async def test_with_no_token_at_all(self, remote, candidate, manager):
        with pytest.raises(Invalid, match=r"^invalid join token$"):
            await join([remote], "SWMTKN-1-bad", candidate)
        with pytest.raises(Invalid, match="at least 1 address"):
            await join([], f"SWMTKN-1-{'0' * 50}-{'0' * 25}", candidate)
        assert manager.calls == []

    async def test_of_another_cluster(self, cluster, foreign, remote, candidate, manager):
        with pytest.raises(Forbidden) as caught:
            await join([remote], foreign.token(), candidate)
        expected, actual = foreign.token().split("-")[2], cluster.token().split("-")[2]
        assert str(caught.value) == (
            f"remote CA does not match fingerprint. Expected: {expected}, Actual: {actual}"
        )
        assert manager.calls == [], "the secret must not be shown to a stranger"

    async def test_through_one_who_only_shows_the_right_ca(
        self, cluster, foreign, candidate, manager
    ):
        """It knows the public CA certificate, but has no certificate of it."""
        context = server_context(foreign.manager)
        heard = []

        async def impostor(reader, writer):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            body = cluster.ca.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            writer.close()

        async with serving(impostor, context) as remote:
            with pytest.raises(Unavailable, match="does not have a manager's certificate of this"):
                await join([remote], cluster.token(), candidate)
        assert [request.split(b" ")[1] for request in heard] == [b"/ca"]

    async def test_through_a_worker_that_plays_manager(self, cluster, candidate):
        context = server_context(cluster.manager)
        load_own(context, cluster.worker)
        heard = []

        async def impostor(reader, writer):
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            body = cluster.ca.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            writer.close()

        async with serving(impostor, context) as remote:
            with pytest.raises(Unavailable, match="does not have a manager's certificate of this"):
                await join([remote], cluster.token(), candidate)
        assert len(heard) == 1

    async def test_names_each_address_and_cause(self, cluster, candidate, free_port):
        async with serving(silent, server_context(cluster.manager)) as mute:
            with pytest.raises(Unavailable) as caught:
                await join([f"127.0.0.1:{free_port}", mute], cluster.token(), candidate)
        sentence = str(caught.value)
        assert sentence.startswith("no manager of the swarm could be reached (127.0.0.1:")
        assert f"127.0.0.1:{free_port}: " in sentence
        assert "connection refused" in sentence or "connect call failed" in sentence
        assert f"{mute}: no answer within 5 seconds" in sentence

    async def test_through_something_that_is_no_manager(self, cluster, candidate):
        async def chatter(reader, writer):
            writer.write(b"SSH-2.0-hello\r\n")
            await writer.drain()
            writer.close()

        async with serving(chatter) as remote:
            with pytest.raises(Unavailable, match=f"{remote}: it does not speak TLS 1.3"):
                await join([remote], cluster.token(), candidate)

    async def test_hears_the_manager_s_own_words(self, cluster, remote, candidate, manager):
        manager.refusal = Clash("the swarm has no room")
        with pytest.raises(Clash, match=r"^the swarm has no room$"):
            await join([remote], cluster.token(), candidate)


class TestRenewing:
    async def test_gives_a_new_key_for_the_same_node(self, cluster, remote):
        renewed = await renew([remote], cluster.worker)
        assert renewed.subject == subject_of(cluster.worker.certificate)
        assert renewed.credentials.key != cluster.worker.key
        assert (await renew([remote], renewed.credentials)).subject == renewed.subject

    async def test_is_for_members_only(self, foreign, cluster, remote, manager):
        with pytest.raises(Unavailable, match="does not have a manager's certificate of this"):
            await renew([remote], foreign.worker)
        mixed = type(foreign.worker)(
            certificate=foreign.worker.certificate, key=foreign.worker.key, ca=cluster.ca
        )
        with pytest.raises(Unavailable, match=r"reset by peer|does not accept|closed the co"):
            await renew([remote], mixed)
        worker = subject_of(cluster.worker.certificate)
        late = cluster.credentials(worker, days=1, now=time.time() - 2 * 86400)
        with pytest.raises(Forbidden, match="this host's certificate has expired"):
            await renew([remote], late)
        manager.removed.add("w" * 25)
        with pytest.raises(Forbidden, match="was removed from the swarm"):
            await renew([remote], cluster.worker)
        with pytest.raises(Unavailable, match="none is known"):
            await renew([], cluster.worker)


@pytest.fixture
async def agent(cluster, hello):
    """Makes connections whose messages are collected; ends them."""
    running = []

    def start(*remotes: str, credentials=None) -> tuple[AgentConnection, list]:
        managers = {f"m{number}": remote for number, remote in enumerate(remotes)}
        connection = AgentConnection(
            credentials or cluster.worker, managers, lambda: [hello, Beat(applied=1)]
        )
        received = []

        async def collect():
            async with aclosing(connection.messages()) as messages:
                async for message in messages:
                    received.append(message)

        running.append((connection, asyncio.create_task(collect())))
        return connection, received

    yield start
    for connection, task in running:
        await connection.close()
        async with asyncio.timeout(60):
            await task


class TestSession:
    async def test_begins_with_what_on_connect_gives(self, agent, remote, manager, until):
        connection, received = agent(remote)
        session, heard = await manager.sessions.get()
        await connection.connected.wait()
        await connection.send(Beat(applied=2))
        await session.send(Goodbye(reason="a"))
        await until(lambda: len(heard) == 2 and received)
        assert heard == [Beat(applied=1), Beat(applied=2)]
        assert received == [Goodbye(reason="a")]
        assert connection.problem == ""

    async def test_is_made_anew_when_it_is_lost(self, agent, cluster, manager, free_port, until):
        remote = f"127.0.0.1:{free_port}"
        connection, received = agent(remote)
        await until(lambda: connection.problem)
        assert connection.problem.startswith(remote)
        with pytest.raises(Unavailable, match="no manager can be reached: 127"):
            await connection.send(Beat(applied=2))
        for reason in ("first", "second"):
            async with manager_of(cluster, manager, free_port):
                session, _ = await manager.sessions.get()
                await session.send(Goodbye(reason=reason))
                await until(connection.connected.is_set)
            await until(lambda: not connection.connected.is_set())
            assert connection.problem != ""
        await until(lambda: len(received) == 2)
        assert [message.reason for message in received] == ["first", "second"]

    async def test_moves_to_another_manager(self, agent, cluster, manager, until):
        async with manager_of(cluster, manager) as one, manager_of(cluster, manager) as two:
            remotes = [f"127.0.0.1:{endpoint.port}" for endpoint in (one, two)]
            agent(*remotes)
            await manager.sessions.get()
            used = one if one._sessions else two
            await used.close()
            await asyncio.wait_for(manager.sessions.get(), 30)
            other = two if used is one else one
            assert len(other._sessions) == 1

    async def test_learns_of_new_managers(self, agent, remote, manager, until):
        connection, _ = agent()
        await until(lambda: connection.problem == "no manager is known")
        connection.update_managers({"m": remote})
        await manager.sessions.get()

    async def test_tries_where_a_manager_was_heard(self, agent, remote, manager, free_port, until):
        gone = f"127.0.0.1:{free_port}"
        connection, _ = agent(gone)
        await until(lambda: connection.problem.startswith(gone))
        connection.hint(remote)
        await manager.sessions.get()
        await until(connection.connected.is_set)
        # One that is heard of while there is a session is of no use, and the one that was is.
        connection.hint("192.0.2.1:2377")
        assert sorted(connection._shuffled()) == sorted([gone, remote])
        connection.update_managers({"m": remote})
        assert connection._shuffled() == [remote]

    async def test_is_begun_anew_when_that_is_asked_for(self, agent, remote, manager, until):
        connection, _ = agent(remote)
        await manager.sessions.get()
        await until(connection.connected.is_set)
        await connection.again("this host has another address")
        await manager.sessions.get()
        await until(connection.connected.is_set)

    async def test_is_refused_to_a_removed_node(self, agent, remote, manager, until):
        manager.removed.add("w" * 25)
        connection, _ = agent(remote)
        await until(lambda: "was removed from the swarm" in connection.problem)
        assert not connection.connected.is_set()
        manager.removed.clear()
        await manager.sessions.get()

    async def test_is_refused_to_another_cluster_s_node(self, agent, remote, foreign, until):
        connection, _ = agent(remote, credentials=foreign.worker)
        await until(lambda: "does not have a manager's certificate" in connection.problem)

    async def test_a_dead_manager_is_noticed(self, agent, remote, manager, until, unplug):
        connection, _ = agent(remote)
        session, _ = await manager.sessions.get()
        for task in session._channel._tasks:  # it lives on, but says nothing any more
            task.cancel()
        unplug(connection._channel._socket)
        before = time.monotonic()
        await until(lambda: not connection.connected.is_set() and connection.problem)
        assert connection.problem.endswith("nothing was heard for 3 seconds")
        assert time.monotonic() - before > 2

    async def test_too_much_at_once_is_refused(self, agent, remote, manager, until):
        connection, _ = agent(remote)
        await connection.connected.wait()
        with pytest.raises(Broken, match="larger than 1048576"):
            await connection.send(Goodbye(reason="x" * (1 << 20)))
        assert connection.connected.is_set()

    async def test_more_than_it_carries_at_once_is_sent_patiently(
        self, agent, remote, manager, until
    ):
        connection, _ = agent(remote)
        _, heard = await manager.sessions.get()
        await connection.connected.wait()

        async def send(serial):
            for _ in range(40):
                await connection.send_patiently(LogPiece(serial=serial, data=b"x" * 65536))
            await connection.send_patiently(LogPiece(serial=serial, end=True))

        await asyncio.gather(*map(send, range(4)))
        assert connection.connected.is_set(), "the session was not cut off"
        await until(lambda: sum(piece.end for piece in heard[1:]) == 4)
        assert sum(len(piece.data) for piece in heard[1:]) == 4 * 40 * 65536

    async def test_patience_ends_with_the_session(self, agent, remote, manager):
        connection, _ = agent(remote)
        await connection.connected.wait()
        await connection.close()
        with pytest.raises(Unavailable, match="no manager can be reached"):
            await connection.send_patiently(LogPiece(serial=1))

    async def test_does_not_hammer_a_manager_that_will_not_have_it(
        self, agent, remote, manager, until
    ):
        seen = []

        async def refuse(session):
            seen.append(time.monotonic())
            raise Unavailable("there is no leader")

        manager.session = refuse
        connection, _ = agent(remote)
        await until(lambda: len(seen) >= 5)
        assert seen[-1] - seen[0] > 0.05 + 0.1 + 0.2 + 0.4
        await until(lambda: "there is no leader" in connection.problem)

    async def test_closing_tells_the_manager_why(self, agent, remote, manager):
        connection, _ = agent(remote)
        await manager.sessions.get()
        await connection.connected.wait()
        await connection.close("the host is leaving")
        assert await manager.ended.get() == "the host is leaving"

    async def test_cancelling_the_reader_ends_it(self, cluster, remote, manager, hello):
        connection = AgentConnection(cluster.worker, {"m": remote}, lambda: [hello])
        async with aclosing(connection.messages()) as messages:
            reading = asyncio.ensure_future(anext(messages))
            await manager.sessions.get()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert not connection.connected.is_set()
        assert await manager.ended.get() == "the agent ended the session"


def test_contexts_never_go_below_tls_1_3(cluster):
    assert server_context(cluster.manager).minimum_version == ssl.TLSVersion.TLSv1_3


async def test_an_answer_may_come_in_pieces():
    content = aiohttp.StreamReader(Mock(_reading_paused=False), 2**16)
    reading = asyncio.create_task(calls.whole(content))
    for piece in (b"one", b"two"):
        content.feed_data(piece)
        await asyncio.sleep(0)
    content.feed_eof()
    assert await reading == b"onetwo"


async def test_an_answer_that_does_not_end_is_refused():
    content = aiohttp.StreamReader(Mock(_reading_paused=False), 2**16)
    content.feed_data(bytes(calls.MAX_REPLY + 1))
    with pytest.raises(Broken, match="longer than"):
        await calls.whole(content)
