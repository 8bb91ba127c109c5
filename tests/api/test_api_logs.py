"""Logs of services and tasks: gathered from many containers, with docker's prefixes."""

import asyncio
import struct

import pytest
from api_host import NODE1, NODE2
from api_world import until

from skep.api.loglines import PROBLEM, STDERR, STDOUT, frame
from skep.model.cluster import TaskState

HEAD = struct.Struct(">BxxxL")
ALL = "stdout=1&stderr=1&tail=all"
LOST = {"refusal": "node node2 is not available", "status": 503}


@pytest.fixture
async def web(world):
    """A service with a replica on each of two nodes; its tasks by slot."""
    await world.swarm()
    await world.cluster.add_worker()
    await world.docker("service", "create", "--detach", "--name", "web", "--replicas", "2", "nginx")
    return sorted(world.cluster.running("web"), key=lambda task: task.slot)


def frames(data):
    found = []
    while data:
        stream, size = HEAD.unpack_from(data)
        found.append((stream, data[8 : 8 + size]))
        data = data[8 + size :]
    return found


def labels(task):
    return (
        f"com.docker.swarm.node.id={task.node_id},com.docker.swarm.service.id={task.service_id},"
        f"com.docker.swarm.task.id={task.id} "
    ).encode()


def prefix(task):
    node = "node1" if task.node_id == NODE1 else "node2"
    return f"web.{task.slot}.{task.id[:12]}@{node}    | "


async def read(client, path, status=200):
    async with client.get(path) as reply:
        assert reply.status == status, await reply.text()
        return await reply.read()


async def test_each_line_says_whose_it_is(world, client, web):
    for task in web:
        await world.cluster.log.say(task.id, frame(STDOUT, b"out\n") + frame(STDERR, b"err\n"))
    got = frames(await read(client, f"/services/web/logs?{ALL}&details=1"))
    assert sorted(got) == sorted(
        pair
        for task in web
        for pair in ((1, labels(task) + b"out\n"), (2, labels(task) + b"err\n"))
    )
    asked = {"stdout": "1", "stderr": "1", "tail": "all"}
    assert world.cluster.log.asked == [(task.id, asked) for task in web]


async def test_without_details_lines_are_as_they_were(world, client, web):
    await world.cluster.log.say(web[0].id, frame(STDOUT, b"out\n"))
    path = "/services/web/logs?stdout=1&timestamps=1&since=5&until=6.5&tail=3"
    assert await read(client, path) == frame(STDOUT, b"out\n")
    options = {"stdout": "1", "timestamps": "1", "since": "5", "until": "6.5", "tail": "3"}
    assert world.cluster.log.asked[0][1] == options


@pytest.mark.parametrize("target", ["services/web", "tasks/{task}"])
async def test_some_stream_must_be_asked_for(client, web, target):
    path = f"/{target.format(task=web[0].id)}/logs?follow=1"
    body = await read(client, path, 400)
    assert b"Bad parameters: you must choose at least one stream" in body


@pytest.mark.parametrize(("version", "kind"), [("v1.50", "multiplexed"), ("v1.41", "raw")])
async def test_framing_is_said(client, web, version, kind):
    async with client.get(f"/{version}/services/web/logs?{ALL}") as reply:
        assert reply.headers["Content-Type"] == f"application/vnd.docker.{kind}-stream"


async def test_a_terminal_s_output_is_raw(world, client):
    await world.swarm()
    await world.docker("service", "create", "--detach", "--tty", "--name", "term", "busybox")
    (task,) = world.cluster.running("term")
    await world.cluster.log.say(task.id, b"a\x1b[1mb\r\n", tty=True)
    async with client.get(f"/services/term/logs?{ALL}") as reply:
        assert reply.headers["Content-Type"] == "application/vnd.docker.raw-stream"
        assert await reply.read() == b"a\x1b[1mb\r\n"
    await world.cluster.log.say(task.id, b"x\r\n", tty=True)
    assert await world.docker("service", "logs", "--raw", "term") == "x\r\n"
    refused = await world.docker("service", "logs", "term", code=1)
    assert "tty service logs only supported with --raw" in refused


async def test_what_is_missing_is_said_at_the_end(world, client, web):
    await world.cluster.log.say(web[1].id, frame(STDOUT, b"begin\n"))
    await world.cluster.log.say(web[1].id, **LOST)
    await world.cluster.log.say(web[0].id, frame(STDOUT, b"whole\n"))
    *rest, (stream, sentence) = frames(await read(client, f"/services/web/logs?{ALL}"))
    assert sorted(rest) == [(1, b"begin\n"), (1, b"whole\n")]
    assert stream == PROBLEM
    assert sentence == (
        b"Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. "
        b"some logs could not be retrieved for the following reasons: node node2 is not available\n"
    )


async def test_a_task_without_a_node_is_said_too(world, client, web):
    await world.docker(
        "service", "create", "--detach", "--name", "no", "--constraint", "node.id==x", "nginx"
    )
    ((stream, sentence),) = frames(await read(client, f"/services/no/logs?{ALL}"))
    assert stream == PROBLEM
    assert b"has not been scheduled" in sentence


async def test_a_log_that_went_with_its_dead_container_is_no_fault(world, client, web):
    task = web[0]
    await world.cluster.report(task.id, state=TaskState.FAILED, container_id="c1")
    await world.cluster.log.say(task.id, refusal="No such container: c1", status=404)
    assert await read(client, f"/services/web/logs?{ALL}") == b""
    assert task.id in [asked for asked, _ in world.cluster.log.asked]


async def test_dead_tasks_are_read_but_not_followed(world, client, web):
    await world.cluster.report(web[0].id, state=TaskState.FAILED, container_id="c1")
    async with client.get(f"/services/web/logs?{ALL}&follow=1") as reply:
        await world.cluster.log.say(web[1].id, frame(STDOUT, b"lives\n"))
        await reply.content.readexactly(len(frame(STDOUT, b"lives\n")))
        asked = dict(world.cluster.log.asked)
        assert "follow" not in asked[web[0].id]
        assert asked[web[1].id]["follow"] == "1"


class Follower:
    """A client that follows ``web`` and notes the lines it gets."""

    def __init__(self, world, client, query=f"{ALL}&follow=1&details=1"):
        self.world, self.client, self.query, self.lines = world, client, query, []

    async def __aenter__(self):
        self.reply = await self.client.get(f"/services/web/logs?{self.query}")
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        self.reply.close()

    async def _read(self):
        while head := await self.reply.content.read(8):
            stream, size = HEAD.unpack(head)
            self.lines.append((stream, await self.reply.content.readexactly(size)))

    async def until(self, *line):
        await until(lambda: line in self.lines)


async def test_following(world, client, web):
    await world.cluster.log.say(web[0].id, frame(STDOUT, b"old\n"))
    async with Follower(world, client) as follower:
        await follower.until(1, labels(web[0]) + b"old\n")
        await world.cluster.log.say(web[1].id, frame(STDERR, b"new\n"))
        await follower.until(2, labels(web[1]) + b"new\n")
    await until(lambda: world.cluster.log.open == 0)


async def test_new_tasks_are_joined_from_their_beginning(world, client, web):
    async with Follower(world, client, "stdout=1&tail=0&follow=1&details=1") as follower:
        await until(lambda: world.cluster.log.open == 2)
        await world.docker("service", "scale", "--detach", "web=3")
        await until(lambda: len(world.cluster.running("web")) == 3)
        (third,) = (task for task in world.cluster.running("web") if task.slot == 3)
        await world.cluster.log.say(third.id, frame(STDOUT, b"hello\n"))
        await follower.until(1, labels(third) + b"hello\n")
    assert dict(world.cluster.log.asked)[web[0].id] == {"stdout": "1", "tail": "0", "follow": "1"}
    assert dict(world.cluster.log.asked)[third.id] == {"stdout": "1", "follow": "1"}


async def test_a_lost_host_is_told_once_and_taken_up_again(world, client, web):
    task = next(task for task in web if task.node_id == NODE2)
    async with Follower(world, client) as follower:
        await world.cluster.log.say(task.id, frame(STDOUT, b"one\n"))
        await follower.until(1, labels(task) + b"one\n")
        await world.cluster.log.say(task.id, **LOST)
        await follower.until(2, labels(task) + b"node node2 is not available\n")
        await world.cluster.log.say(task.id, **LOST)
        await world.cluster.log.say(task.id, frame(STDOUT, b"two\n"))
        await follower.until(1, labels(task) + b"two\n")
        assert [line for line in follower.lines if b"not available" in line[1]] == [
            (2, labels(task) + b"node node2 is not available\n")
        ]
    again = [options for asked, options in world.cluster.log.asked if asked == task.id]
    assert "tail" in again[0]
    assert "tail" not in again[-1]
    assert float(again[-1]["since"]) > task.created_at


async def test_following_ends_with_the_service(world, client, web):
    async with Follower(world, client) as follower:
        await until(lambda: world.cluster.log.open == 2)
        await world.docker("service", "rm", "web")
        for task in web:
            await world.cluster.log.say(task.id, frame(STDOUT, b"last\n"))
            await world.cluster.log.say(task.id, end=True)
        await asyncio.wait_for(follower.reading, 30)
        assert sorted(follower.lines) == sorted((1, labels(task) + b"last\n") for task in web)


async def test_a_swarm_that_is_left_ends_it(world, client, web):
    async with Follower(world, client) as follower:
        await until(lambda: world.cluster.log.open == 2)
        await world.cluster.leave(True)
        await asyncio.wait_for(follower.reading, 30)
    await until(lambda: world.cluster.log.open == 0)


async def test_one_task(world, client, web):
    task, other = web
    await world.cluster.log.say(task.id, frame(STDOUT, b"mine\n"))
    await world.cluster.log.say(other.id, frame(STDOUT, b"not mine\n"))
    assert await read(client, f"/tasks/{task.id}/logs?{ALL}") == frame(STDOUT, b"mine\n")
    async with client.get(f"/tasks/{task.id}/logs?{ALL}&follow=1") as reply:
        await world.cluster.log.say(task.id, frame(STDOUT, b"end\n"))
        assert await reply.content.readexactly(12) == frame(STDOUT, b"end\n")
        await world.cluster.report(task.id, state=TaskState.COMPLETE, container_id="c1")
        await world.cluster.log.say(task.id, end=True)
        assert await asyncio.wait_for(reply.read(), 30) == b""


async def test_a_dead_task_s_log_is_read_though_it_is_followed(world, client, web):
    await world.cluster.report(web[0].id, state=TaskState.FAILED, container_id="c1")
    await world.cluster.log.say(web[0].id, frame(STDOUT, b"why\n"))
    path = f"/tasks/{web[0].id}/logs?{ALL}&follow=1"
    assert await asyncio.wait_for(read(client, path), 30) == frame(STDOUT, b"why\n")


async def test_docker_s_prefixes(world, web):
    for task in web:
        await world.cluster.log.say(task.id, frame(STDOUT, f"I am {task.slot}\n".encode()))
    out = await world.docker("service", "logs", "web")
    assert sorted(out.splitlines()) == [f"{prefix(task)}I am {task.slot}" for task in web]
    stamp = "2026-01-01T00:00:00Z"
    await world.cluster.log.say(web[0].id, frame(STDERR, f"{stamp} oh no\n".encode()))
    out, err, code = await world.try_docker("service", "logs", "-t", "--details", "web")
    assert (out, code) == ("", 0)
    assert err == f"{stamp} {prefix(web[0])} oh no\n"
    await world.cluster.log.say(web[0].id, frame(STDOUT, b"bare\n"))
    assert await world.docker("service", "logs", "--raw", "--tail", "5", "web") == "bare\n"
    assert world.cluster.log.asked[-1][1]["tail"] == "5"


async def test_docker_follows_and_tells_of_losses(world, web):
    async with world.begin_docker("service", "logs", "-f", "web") as docker:
        await until(lambda: world.cluster.log.open == 2)
        await world.cluster.log.say(web[0].id, frame(STDOUT, b"first\n"))
        assert await docker.stdout.readline() == f"{prefix(web[0])}first\n".encode()
        await world.cluster.log.say(web[1].id, **LOST)
        line = await docker.stderr.readline()
        assert line == f"{prefix(web[1])}node node2 is not available\n".encode()
        assert docker.returncode is None
    await until(lambda: world.cluster.log.open == 0)
    await world.cluster.log.say(web[1].id, **LOST)
    complaint = await world.docker("service", "logs", "web", code=1)
    assert "incomplete log stream" in complaint
    complaint = await world.docker("service", "logs", "nosuch", code=1)
    assert complaint == "no such task or service: nosuch\n"
