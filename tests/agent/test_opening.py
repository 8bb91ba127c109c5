import asyncio
import time

import pytest

from skep.agent import opening
from skep.agent.opening import Opening, ports_of
from skep.model.assignment import Assignment, NetworkAssignment, NetworkService
from skep.model.cluster import Task
from skep.model.spec import NetworkSpec, PortConfig

WEB, TLS = ("tcp", 80), ("tcp", 443)


class Rig:
    def __init__(self, *seen):
        self.seen = list(seen)
        self.looks = []
        self.opening = Opening(self.listeners)

    async def listeners(self, namespace):
        self.looks.append(namespace)
        return self.seen.pop(0) if self.seen else set()

    def wait(self, *ports, over=lambda: False):
        return asyncio.create_task(self.opening.wait("box", ports, over))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(opening, "LOOK", 0.005)
    monkeypatch.setattr(opening, "WITHIN", 0.2)


async def test_it_is_open_when_all_its_ports_are(monkeypatch):
    monkeypatch.setattr(opening, "WITHIN", 600)
    rig = Rig({}, {WEB}, {WEB, TLS, ("udp", 53)}, {WEB})
    await rig.wait(WEB, TLS)
    assert rig.looks == ["box"] * 3


async def test_what_serves_nothing_that_is_known_is_not_waited_for():
    rig = Rig()
    await rig.wait()
    assert rig.looks == []


async def test_what_does_not_listen_is_waited_for_only_so_long():
    begun = time.monotonic()
    await Rig().wait(WEB)
    assert 0.2 <= time.monotonic() - begun < 30


async def test_what_is_over_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(opening, "WITHIN", 600)
    ended = []
    waiting = Rig().wait(WEB, over=lambda: bool(ended))
    await asyncio.sleep(0.02)
    ended.append(True)
    await asyncio.wait_for(waiting, 30)


def test_its_ports_are_those_that_its_image_exposes_and_its_service_publishes():
    ports = (
        PortConfig(target_port=90, published_port=9000),
        PortConfig(protocol="sctp", target_port=5, published_port=5),
    )
    network = NetworkAssignment(
        id="n", spec=NetworkSpec(name="ingress", ingress=True), created_at=0.0,
        services={"s": NetworkService(id="s", name="web", ports=ports)},
    )  # fmt: skip
    task = Task(id="t", service_id="s", host_ports=(PortConfig(protocol="udp", target_port=53),))
    found = ports_of(task, ("80/tcp", "81"), Assignment(networks={"n": network}))
    assert found == {("tcp", 80), ("tcp", 81), ("tcp", 90), ("udp", 53)}
