"""Real decisions, store and deltas; only the socket between agent and manager is missing."""

import asyncio
import contextlib
import time

import pytest

from skep.cluster import control
from skep.cluster.delta import patch
from skep.manager import sessions
from skep.manager.manager import Manager, new_swarm_id
from skep.manager.sessions import Sessions
from skep.model.cluster import Cluster, Node, NodeDescription, TaskState, TaskStatus, Tokens
from skep.model.messages import Assign, Attach, Attached, Detach, Goodbye, Hello, Status
from skep.model.spec import (
    ContainerSpec,
    NetworkAttachmentConfig,
    NetworkSpec,
    NodeSpec,
    Replicated,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)
from skep.store.sqlite import SqliteStore


class FakeSession:
    role = "worker"
    silent = False

    def __init__(self, node_id, address):
        self.node_id = node_id
        self.address = address
        self.hello = Hello(
            description=NodeDescription(hostname=node_id), address=address, vtep=address
        )
        self.inbox = asyncio.Queue()
        self.sent = []
        self.assignment = None
        self.closed = ""

    async def send(self, message):
        self.sent.append(message)
        if isinstance(message, Assign):
            base = self.assignment if message.delta.base else None
            self.assignment = patch(base, message.delta)

    async def close(self, reason):
        self.closed = self.closed or reason
        self.inbox.put_nowait(None)

    def __aiter__(self):
        return self

    async def __anext__(self):
        message = await self.inbox.get()
        if message is None:
            raise StopAsyncIteration
        return message


class Rig:
    def __init__(self, manager, sessions, group):
        self.manager = manager
        self.sessions = sessions
        self.group = group

    async def host(self, number):
        node = Node(
            id=new_swarm_id(), spec=NodeSpec(role="worker"), address=f"192.0.2.{number}",
            vtep=f"192.0.2.{number}", description=NodeDescription(hostname=f"h{number}"),
        )  # fmt: skip
        await self.manager.change(lambda d, c: control.add_node(d, c, node))
        return self.connect(node.id, node.address)

    def connect(self, node_id, address):
        session = FakeSession(node_id, address)
        session.serving = self.group.create_task(self.sessions.serve(session))
        return session

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.002)


@pytest.fixture
async def rig(tmp_path):
    store = await SqliteStore.open(tmp_path / "cluster.db")
    manager = Manager(store)
    await manager.load()
    cluster = Cluster(id=new_swarm_id(), ca_certificate="", ca_key="", tokens=Tokens("a", "b"))
    node = Node(
        id=new_swarm_id(), spec=NodeSpec(role="manager", availability="drain"),
        address="192.0.2.1", vtep="192.0.2.1", description=NodeDescription(hostname="m"),
        manager_address="192.0.2.1:2377",
    )  # fmt: skip
    await manager.change(lambda d, c: control.init_cluster(d, c, cluster=cluster, node=node))
    sessions = Sessions(manager)
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run())
            group.create_task(sessions.run())
            yield Rig(manager, sessions, group)
            raise asyncio.CancelledError
    await store.close()


def web(replicas=2):
    return ServiceSpec(
        name="web",
        task_template=TaskSpec(
            container_spec=ContainerSpec(image="nginx"),
            networks=(NetworkAttachmentConfig(target="net"),),
        ),
        mode=ServiceMode(replicated=Replicated(replicas=replicas)),
    )


async def attachable(rig):
    spec = NetworkSpec(name="net", driver="overlay", attachable=True)
    return await rig.manager.change(lambda d, c: control.create_network(d, c, spec))


async def test_a_new_session_gets_the_whole_assignment_and_the_node_is_ready(rig):
    host = await rig.host(2)
    await rig.until(lambda: host.assignment is not None)
    assert host.assignment.node_id == host.node_id
    assert rig.manager.state.nodes[host.node_id].state == "ready"
    assert [n.spec.name for n in host.assignment.networks.values()] == ["ingress"]


async def test_a_service_spreads_and_its_running_tasks_are_known_everywhere(rig):
    one, two = await rig.host(2), await rig.host(3)
    net = await attachable(rig)
    await rig.manager.change(lambda d, c: control.create_service(d, c, web()))
    await rig.until(lambda: all(h.assignment and h.assignment.tasks for h in (one, two)))
    for host in (one, two):
        (task,) = host.assignment.tasks.values()
        assert task.service_name == "web"
        running = TaskStatus(state=TaskState.RUNNING, timestamp=1.0, container_id="c" * 64)
        host.inbox.put_nowait(Status(tasks={task.id: running}))

    def ready_on(host):
        network = host.assignment.networks[net]
        return sum(endpoint.ready for endpoint in network.endpoints.values())

    await rig.until(lambda: ready_on(one) == 2 and ready_on(two) == 2)
    assert one.assignment.networks[net].endpoints == two.assignment.networks[net].endpoints


async def test_an_attachment_is_answered_after_the_network_is_known(rig):
    host = await rig.host(2)
    net = await attachable(rig)
    host.inbox.put_nowait(
        Attach(serial=7, container_id="c" * 64, container_name="box", networks={net: ""})
    )
    await rig.until(lambda: any(isinstance(m, Attached) for m in host.sent))
    answer = host.sent[-1] if isinstance(host.sent[-1], Attached) else None
    answer = answer or next(m for m in host.sent if isinstance(m, Attached))
    assert answer.serial == 7
    assert answer.refusal == ""
    assert answer.task_id in host.assignment.tasks
    assert host.assignment.networks[net].present
    host.inbox.put_nowait(Detach(task_id=answer.task_id))
    await rig.until(lambda: answer.task_id not in host.assignment.tasks)


async def test_a_refused_attachment_says_why_with_its_status(rig):
    host = await rig.host(2)
    host.inbox.put_nowait(
        Attach(serial=1, container_id="c" * 64, container_name="box", networks={"nosuch": ""})
    )
    await rig.until(lambda: any(isinstance(m, Attached) for m in host.sent))
    answer = next(m for m in host.sent if isinstance(m, Attached))
    assert answer.status == 404
    assert "nosuch" in answer.refusal


async def test_a_host_cannot_speak_for_anothers_task(rig):
    one, two = await rig.host(2), await rig.host(3)
    await attachable(rig)
    await rig.manager.change(lambda d, c: control.create_service(d, c, web()))
    await rig.until(lambda: one.assignment and one.assignment.tasks)
    (task,) = one.assignment.tasks.values()
    failed = TaskStatus(state=TaskState.FAILED, timestamp=1.0, error="lie")
    two.inbox.put_nowait(Status(tasks={task.id: failed}))
    barrier = Detach(task_id="nosuch")
    two.inbox.put_nowait(barrier)
    await rig.until(two.inbox.empty)
    assert rig.manager.state.tasks[task.id].status.state != TaskState.FAILED


async def test_a_host_cannot_claim_anothers_tunnels(rig):
    one, two = await rig.host(2), await rig.host(3)
    await rig.until(lambda: one.assignment and two.assignment)
    thief = rig.connect(two.node_id, one.address)
    await rig.until(lambda: thief.closed)
    assert f"{one.address} is where the tunnels of" in thief.closed
    assert rig.manager.state.nodes[two.node_id].vtep == two.address
    assert thief.assignment is None


async def test_a_daemon_that_is_restarted_has_its_time(rig, monkeypatch):
    monkeypatch.setattr(sessions, "LOST_AFTER", 1.0)
    host = await rig.host(2)
    await rig.until(lambda: host.assignment is not None)
    await host.close("killed")
    await asyncio.sleep(0.5)
    again = rig.connect(host.node_id, host.address)
    await rig.until(lambda: again.assignment is not None)
    await asyncio.sleep(1.0)
    assert rig.manager.state.nodes[host.node_id].state == "ready"


@pytest.mark.parametrize("silent", [True, False])
async def test_a_lost_host_is_down_after_a_while_and_its_tasks_move(rig, monkeypatch, silent):
    monkeypatch.setattr(sessions, "SILENT_AFTER" if silent else "LOST_AFTER", 0.3)
    one, two = await rig.host(2), await rig.host(3)
    await attachable(rig)
    await rig.manager.change(lambda d, c: control.create_service(d, c, web()))
    await rig.until(lambda: two.assignment and two.assignment.tasks)
    two.silent = silent
    await two.close("pulled the plug")
    await rig.until(lambda: rig.manager.state.nodes[two.node_id].state == "down")
    await rig.until(lambda: len(one.assignment.tasks) == 2)


async def test_while_the_manager_stood_still_nobody_could_come_back(rig, monkeypatch):
    monkeypatch.setattr(sessions, "LOST_AFTER", 2.0)
    host = await rig.host(2)
    await rig.until(lambda: host.assignment is not None)
    await host.close("killed")
    time.sleep(2.5)
    await asyncio.sleep(0.5)
    assert rig.manager.state.nodes[host.node_id].state == "ready"
    again = rig.connect(host.node_id, host.address)
    await rig.until(lambda: again.assignment is not None)
    await asyncio.sleep(2.0)
    assert rig.manager.state.nodes[host.node_id].state == "ready"


async def test_a_newer_session_of_the_same_host_takes_over(rig):
    first = await rig.host(2)
    await rig.until(lambda: first.assignment is not None)
    second = rig.connect(first.node_id, first.address)
    await rig.until(lambda: second.assignment is not None)
    assert "newer session" in first.closed
    assert rig.manager.state.nodes[first.node_id].state == "ready"


async def test_a_removed_host_is_told(rig):
    host = await rig.host(2)
    await rig.until(lambda: host.assignment is not None)
    await rig.sessions.dismiss(host.node_id, "removed from the swarm")
    assert host.sent[-1] == Goodbye(reason="removed from the swarm")
    assert host.closed


async def test_the_state_survives_a_restart_of_the_manager(rig, tmp_path):
    await rig.host(2)
    await attachable(rig)
    before = rig.manager.state
    again = Manager(rig.manager._store)
    await again.load()
    assert again.state.nodes == before.nodes
    assert again.state.networks == before.networks
    assert again.state.revision == before.revision
