"""Balancing by a real kernel: a client's sandbox in a namespace, with backends on its loopback."""

from __future__ import annotations

import collections
import contextlib
import re
import socket
import threading
import time

import pytest
from fresh_host import Host, do, until

from skep.kernel.generation import generation
from skep.kernel.kernel import Kernel
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService, PeerNode
from skep.model.cluster import Subnet
from skep.model.host import Endpoint, HostView, Sandbox
from skep.model.netstate import Address, Link, Namespace
from skep.model.ops import AddAddress, AddNamespace, CutFlows, Op, ReplaceTable
from skep.model.spec import IpamConfig, NetworkSpec
from skep.plan.balance import Balancer
from skep.plan.diff import diff
from skep.plan.sandbox import sandbox_namespace

pytestmark = pytest.mark.root

NS, VIP, PORT, MARK = "box", "10.88.9.9", 7000, 256
OWN = Address("lo", "10.88.0.1/16")
"""On the loopback link, all of an address's subnet is local."""
HERE = [f"10.88.1.{number}" for number in range(1, 7)]


def view(ready, options=None, labels=None):
    """A host whose one network has the service of `VIP`; each task's host has its name."""
    service = NetworkService(id="s", name="s", vip=VIP, mark=MARK, options=options or {})
    network = NetworkAssignment(
        id="net",
        spec=NetworkSpec(name="net"),
        created_at=0.0,
        subnets=(Subnet(IpamConfig(subnet="10.88.0.0/16", gateway="10.88.255.1"), 4097),),
        services={"s": service},
        endpoints={
            each: NetworkEndpoint(
                task_id=each, node_id=each, address=each, mac="", service_id="s", ready=True
            )
            for each in ready
        },
    )
    peers = {
        each: PeerNode(
            id=each, hostname=each, address="", vtep="", ingress_address="",
            labels=(labels or {}).get(each, {}),
        )
        for each in ready
    }  # fmt: skip
    return HostView(networks={"net": network}, peers=peers)


def planned(seen: HostView) -> Namespace:
    """The sandbox's table in a namespace that has nothing else."""
    leg = Endpoint(
        id="e", network_id="net", network_name="net", link="eth0", port="veth0",
        address="10.88.0.2/16", mac="",
    )  # fmt: skip
    box = Sandbox(id=NS.ljust(64, "0"), endpoints=(leg,))
    tables = sandbox_namespace(seen, box, Balancer(seen)).tables
    own = frozenset({OWN})
    return Namespace(name=NS, links={"lo": Link(name="lo")}, addresses=own, tables=tables)


class Servers:
    """Each of `HERE` tells its address to who connects."""

    def __init__(self) -> None:
        self._opened = [self._listen(each) for each in HERE]

    def _listen(self, address: str) -> socket.socket:
        opened = socket.create_server((address, PORT), backlog=512)
        threading.Thread(target=self._serve, args=(opened, address), daemon=True).start()
        return opened

    def _serve(self, opened: socket.socket, address: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = opened.accept()
                with connection:
                    connection.sendall(address.encode())

    def close(self) -> None:
        for each in self._opened:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def ask(client: str = "10.88.0.1") -> str:
    with socket.create_connection((VIP, PORT), timeout=60, source_address=(client, 0)) as opened:
        return opened.recv(64).decode()


class Box:
    """The namespace, kept to what is planned for a view."""

    def __init__(self, kernel: Kernel, host: Host) -> None:
        self.kernel = kernel
        self.host = host

    async def show(self, seen: HostView) -> list[Op]:
        observed = await self.kernel.observe([NS])
        todo = diff({NS: planned(seen)}, observed)
        await do(self.kernel, *todo)
        assert diff({NS: planned(seen)}, await self.kernel.observe([NS])) == []
        return todo

    async def asked(self, count: int, client: str = "10.88.0.1") -> collections.Counter[str]:
        return await self.kernel.within(
            NS, lambda: collections.Counter(ask(client) for _ in range(count))
        )


@pytest.fixture
async def box(kernel, host):
    await do(kernel, AddNamespace(ns=NS), AddAddress(ns=NS, address=OWN))
    servers = await kernel.within(NS, Servers)
    yield Box(kernel, host)
    servers.close()


async def test_turns_are_exact(box):
    await box.show(view(HERE[:3]))
    assert await box.asked(600) == dict.fromkeys(HERE[:3], 200)


async def test_weighted_turns_are_exact(box):
    labels = {HERE[0]: {"skep.weight": "3"}, HERE[1]: {"skep.weight": "2"}}
    await box.show(view(HERE[:3], labels=labels))
    assert await box.asked(600) == {HERE[0]: 300, HERE[1]: 200, HERE[2]: 100}


async def test_a_hash_sends_one_client_to_one_task_and_moves_only_whom_it_must(box):
    async def homes() -> dict[str, str]:
        clients = [f"10.88.2.{number}" for number in range(1, 41)]
        answers = {}
        for client in clients:
            (answers[client],) = await box.asked(2, client)
        return answers

    await box.show(view(HERE[:3], {"skep.balance": "source"}))
    before = await homes()
    assert set(before.values()) == set(HERE[:3])
    await box.show(view(HERE[:2], {"skep.balance": "source"}))
    after = await homes()
    assert {client for client in before if before[client] != after[client]} == {
        client for client in before if before[client] == HERE[2]
    }


async def test_affinity_ends_after_its_time(box):
    await box.show(view(HERE[:3], {"skep.affinity": "2s"}))
    for number in range(1, 100, 2):
        one, other = f"10.88.3.{number}", f"10.88.3.{number + 1}"
        begun = time.monotonic()
        homes = {client: await box.asked(5, client) for client in (one, other)}
        if time.monotonic() - begun < 1.5:
            break  # else a stalled machine may have forgotten them meanwhile: two new ones
    assert [len(each) for each in homes.values()] == [1, 1]
    assert homes[one] != homes[other], "each client has taken its own turn"

    def forgotten() -> bool:
        return one not in re.findall(r"[\d.]+", box.host.run(NS, "nft list map ip skep sticky"))

    await until(forgotten)
    assert len(await box.asked(1, one) + homes[one]) == 2, "the next turn"


async def test_affinity_survives_the_tables_replacement_and_ends_with_its_task(box):
    asked = {"skep.affinity": "10m"}
    await box.show(view(HERE[:3], asked))
    clients = [f"10.88.4.{number}" for number in range(1, 7)]
    homes = {client: next(iter(await box.asked(1, client))) for client in clients}
    assert len(set(homes.values())) == 3
    (table,) = planned(view(HERE[:3], asked)).tables
    await do(box.kernel, ReplaceTable(ns=NS, table=table))
    assert {client: next(iter(await box.asked(1, client))) for client in clients} == homes
    todo = await box.show(view(HERE[1:3], asked))
    assert not any(isinstance(op, ReplaceTable) for op in todo)
    for client, home in homes.items():
        found = set(await box.asked(3, client))
        assert len(found) == 1
        assert found == {home} if home != HERE[0] else found < set(HERE[1:3])


class Asking:
    """One flow of datagrams to the service, in the box."""

    def __init__(self) -> None:
        self._opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._opened.connect((VIP, PORT))

    def send(self) -> None:
        # The last one's fate is told first: nobody listens.
        with contextlib.suppress(ConnectionRefusedError):
            self._opened.send(b"?")
            return
        self._opened.send(b"?")


def led_to(box) -> set[str]:
    lines = box.host.run(NS, "cat /proc/net/nf_conntrack").splitlines()
    return {re.findall(r"src=(\S+)", line)[1] for line in lines if " udp " in line}


async def test_a_flow_left_by_a_crash_is_cut_by_the_next_complete_look(box):
    await box.show(view(HERE[:1]))
    asking = await box.kernel.within(NS, Asking)
    asking.send()
    assert led_to(box) == {HERE[0]}
    after = {NS: planned(view(HERE[1:2]))}
    todo = diff(after, await box.kernel.observe([NS]))
    await do(box.kernel, *(op for op in todo if not isinstance(op, CutFlows)))
    # Here the daemon dies.
    asking.send()
    assert led_to(box) == {HERE[0]}
    assert diff(after, await box.kernel.observe([NS])) == [], "nothing else shows it"
    todo = diff(after, await box.kernel.observe([NS], flows=True))
    assert todo == [CutFlows(ns=NS, address=HERE[0], port=PORT)]
    await do(box.kernel, *todo)
    asking.send()
    assert led_to(box) == {HERE[1]}
    assert diff(after, await box.kernel.observe([NS], flows=True)) == []


async def test_replacing_all_backends_is_one_transaction_and_refuses_nobody(box):
    """Every connection that is made meanwhile is answered by one of the six."""
    await box.show(view(HERE[:3]))
    stop = threading.Event()
    answered: collections.Counter[str] = collections.Counter()
    failed: list[str] = []

    def hammer() -> None:
        while not stop.is_set():
            try:
                answered[ask()] += 1
            except OSError as error:
                failed.append(repr(error))

    threads = await box.kernel.within(NS, lambda: [_started(hammer) for _ in range(2)])
    try:
        for turn in range(40):
            ready = HERE[3:] if turn % 2 == 0 else HERE[:3]
            before = await box.kernel.within(NS, generation)
            await box.show(view(ready))
            assert await box.kernel.within(NS, generation) == before + 1
            enough = answered.total() + 10
            await until(lambda enough=enough: failed or answered.total() > enough)
    finally:
        stop.set()
        for each in threads:
            each.join(60)
    assert failed == []
    assert set(answered) == set(HERE)
    assert sum(answered.values()) > 400


def _started(work) -> threading.Thread:
    """A thread is in the namespace of the one that started it."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread
