"""The agent's side of its session: what it asks, and what becomes of it without a manager."""

import asyncio
from contextlib import asynccontextmanager
from unittest.mock import Mock

import pytest

from skep.agent import uplink as module
from skep.agent.logs import Logs
from skep.agent.uplink import Uplink
from skep.cluster.delta import difference
from skep.model.assignment import Assignment
from skep.model.cluster import NodeDescription, Task
from skep.model.errors import Clash, Unavailable
from skep.model.messages import Assign, Attach, Attached, Detach, Hello


class FakeConnection:
    """A session that a test sets up and ends; it answers what is asked when told to."""

    def __init__(self):
        self.connected = asyncio.Event()
        self.problem = "10.9.0.1:2377: connection refused"
        self.heard = asyncio.Queue()
        self.sent = []

    async def send(self, message):
        if not self.connected.is_set():
            raise Unavailable("no session")
        self.sent.append(message)

    async def messages(self):
        while True:
            yield await self.heard.get()


def attach(serial):
    return Attach(serial=serial, networks={"net": ""}, container_id="c1", container_name="box")


@asynccontextmanager
async def running(tmp_path):
    async def ignored(*_):
        pass

    uplink = Uplink(tmp_path / "assignment", ignored, ignored, logs=Mock(spec=Logs))
    connection = FakeConnection()
    task = asyncio.create_task(uplink.run(connection))
    await asyncio.sleep(0)
    try:
        yield uplink, connection
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


async def test_a_question_waits_for_a_manager_that_starts_anew(tmp_path):
    async with running(tmp_path) as (uplink, connection):
        asked = asyncio.create_task(uplink.attach(attach))
        await asyncio.sleep(0.01)
        assert not asked.done()
        assert not connection.sent
        connection.connected.set()
        await settled(lambda: connection.sent)
        connection.heard.put_nowait(Attached(serial=1, task_id="t1"))
        assert (await asked).task_id == "t1"


async def test_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SESSION_WITHIN", 0.05)
    async with running(tmp_path) as (uplink, _):
        with pytest.raises(Unavailable, match=r"just now \(10.9.0.1:2377: connection refused\)"):
            await uplink.attach(attach)


async def test_without_a_swarm_it_does_not_wait_at_all(tmp_path):
    uplink = Uplink(tmp_path / "assignment", None, None, logs=None)
    with pytest.raises(Unavailable, match="no manager"):
        await uplink.attach(attach)


async def test_the_manager_s_refusal_is_raised_as_its_kind(tmp_path):
    async with running(tmp_path) as (uplink, connection):
        connection.connected.set()
        asked = asyncio.create_task(uplink.attach(attach))
        await settled(lambda: connection.sent)
        connection.heard.put_nowait(Attached(serial=1, refusal="in use", status=409))
        with pytest.raises(Clash, match="in use"):
            await asked


def gave_back(uplink):
    hello = Hello(description=NodeDescription(hostname="host2"), address="", vtep="")
    return [each.task_id for each in uplink.greeting(hello) if isinstance(each, Detach)]


def assigned(index, *tasks):
    made = {each: Task(id=each, node_id="n1") for each in tasks}
    return Assign(delta=difference(None, Assignment(index=index, tasks=made)))


async def test_what_is_given_back_is_said_until_a_manager_has_heard_it(tmp_path):
    """A session may end with what was said on it last: that it was sent proves nothing."""
    async with running(tmp_path) as (uplink, connection):
        connection.connected.set()
        connection.heard.put_nowait(assigned(1, "t1", "t2"))
        await settled(lambda: uplink.assignment.index == 1)
        await uplink.detach("t1")
        assert connection.sent == [Detach(task_id="t1")]
        assert gave_back(uplink) == ["t1"] == gave_back(uplink)
        connection.heard.put_nowait(assigned(2, "t1", "t2"))
        await settled(lambda: uplink.assignment.index == 2)
        assert gave_back(uplink) == ["t1"]
        connection.heard.put_nowait(assigned(3, "t2"))
        await settled(lambda: uplink.assignment.index == 3)
        assert gave_back(uplink) == []


async def test_who_gives_back_waits_until_it_is_taken(tmp_path):
    async with running(tmp_path) as (uplink, connection):
        connection.connected.set()
        connection.heard.put_nowait(assigned(1, "t1", "t2"))
        await settled(lambda: uplink.assignment.index == 1)
        assert await uplink.detach("t1")
        waiting = asyncio.create_task(uplink.given_back(["t1"]))
        connection.heard.put_nowait(assigned(2, "t1"))
        await settled(lambda: uplink.assignment.index == 2)
        assert not waiting.done()
        connection.heard.put_nowait(assigned(3))
        await asyncio.wait_for(waiting, 30)


async def test_it_is_not_waited_for_without_a_session_nor_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GIVEN_BACK_WITHIN", 0.05)
    async with running(tmp_path) as (uplink, connection):
        assert not await uplink.detach("t1")
        await uplink.given_back([])
        connection.connected.set()
        connection.heard.put_nowait(assigned(1, "t1"))
        await settled(lambda: uplink.assignment.index == 1)
        assert await uplink.detach("t1")
        await asyncio.wait_for(uplink.given_back(["t1"]), 30)
        assert gave_back(uplink) == ["t1"], "it is said again when there is a manager"


@pytest.mark.parametrize("found", [b"", b"\xc1", b"\x81\xa1\xff\x01", b"\x81\xa5index\xa1\xff"])
async def test_an_assignment_that_is_garbled_on_disk_is_no_fault(tmp_path, found):
    (tmp_path / "assignment").write_bytes(found)
    async with running(tmp_path) as (uplink, _):
        uplink.load()
        assert uplink.assignment == Assignment()


async def test_a_start_without_its_last_assignment_waits_for_a_manager(tmp_path):
    (tmp_path / "assignment").write_bytes(b"\xc1")
    async with running(tmp_path) as (uplink, connection):
        uplink.load()
        waiting = asyncio.create_task(uplink.have_assignment())
        await asyncio.sleep(0)
        assert not waiting.done()
        connection.heard.put_nowait(assigned(7))
        async with asyncio.timeout(30):
            await waiting
        assert uplink.assignment.index == 7


async def test_a_start_without_it_and_without_a_manager_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASSIGNED_WITHIN", 0.01)
    async with running(tmp_path) as (uplink, _):
        with pytest.raises(Unavailable, match="lost or damaged"):
            await uplink.have_assignment()
