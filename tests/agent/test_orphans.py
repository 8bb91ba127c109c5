"""Attachments that nobody has are given back; those that somebody is about to have are not."""

from unittest.mock import AsyncMock, Mock

import pytest

from skep.agent import orphans as module
from skep.agent.containers import Containers
from skep.agent.network import Network
from skep.agent.orphans import Orphans
from skep.agent.records import Record, Records
from skep.engine.client import Engine
from skep.model.assignment import Assignment
from skep.model.cluster import Task, TaskState, TaskStatus


def record(**given):
    return Record(
        id="c1", name="box", image="", sandbox_id="s", network_mode="n", created_at=0.0, **given
    )


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host that was given an address for its container c1, as is known to the cluster."""
    host = Mock()
    status = TaskStatus(state=TaskState.RUNNING, timestamp=1.0, container_id="c1")
    task = Task(id="t1", container_name="box", status=status)
    host.uplink = Mock(assignment=Assignment(tasks={"t1": task}), detach=AsyncMock())
    host.records = Records(tmp_path / "containers")
    host.records.load()
    network = Mock(spec=Network, records=host.records)
    host.containers = Containers(network, Mock(spec=Engine))
    host.orphans = Orphans(host.records, host.uplink, host.containers.is_busy)
    host.clock = Mock(return_value=100.0)
    monkeypatch.setattr(module, "time", Mock(monotonic=host.clock))
    return host


async def later(host):
    """One look now, and one after the time within which answers come."""
    await host.orphans.give_back()
    host.clock.return_value += module.ANSWER_WITHIN + 1
    await host.orphans.give_back()


async def test_what_no_container_has_is_given_back_after_a_while(host):
    await host.orphans.give_back()
    host.uplink.detach.assert_not_awaited()
    await later(host)
    host.uplink.detach.assert_awaited_once_with("t1")


async def test_what_a_container_has_is_kept(host):
    host.records.put(record(attachments={"net": "t1"}))
    await later(host)
    host.uplink.detach.assert_not_awaited()


async def test_what_a_container_waits_for_is_kept(host):
    """It waits for a second network, or for a plugin: what it has is on record after that. Its
    address would be given to another one as well."""
    host.records.put(record())
    async with host.containers.held("c1"):
        await later(host)
        host.uplink.detach.assert_not_awaited()
    await host.orphans.give_back()
    host.uplink.detach.assert_not_awaited()
    await later(host)
    host.uplink.detach.assert_awaited_once_with("t1")


async def test_services_tasks_are_none_of_its_business(host):
    host.uplink.assignment = Assignment(tasks={"t2": Task(id="t2", service_id="s")})
    await later(host)
    host.uplink.detach.assert_not_awaited()
