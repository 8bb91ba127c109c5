"""Services and published ports on one real host, by either way to balance. Where the kernel has no
IPVS, only nftables' part runs."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import socket
import threading

import msgspec
import pytest
from fresh_host import Host
from plan_scene import (
    IDLE_VIP,
    INGRESS,
    MONGO,
    WEB_INGRESS_VIP,
    WEB_MARK,
    WEB_VIP,
    Scene,
    ingress_address,
)

from skep.kernel import ipvs, netns
from skep.kernel.kernel import Kernel
from skep.model.assignment import NetworkService
from skep.model.netstate import HOST, Destination
from skep.model.spec import PortConfig
from skep.plan.desired import desired
from skep.plan.diff import diff, needed_sysctls

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

PORT, PUBLISHED, OTHER = 80, 8080, 9090
OUTSIDE, HERE = "192.168.50.9", "192.168.50.1"
TASKS = {"web1": "10.0.1.11", "web2": "10.0.1.12", "web3": "10.0.1.13"}
PASSES = 4


def scene(balancer, ready=tuple(TASKS), options=None):
    """A client and three tasks of a published service, all on one host."""
    made = Scene("h1")
    made.balancer = balancer
    ports = tuple(PortConfig(target_port=PORT, published_port=each) for each in (PUBLISHED, OTHER))
    web = NetworkService(id="web", name="web", vip=WEB_VIP, mark=WEB_MARK, options=options or {})
    idle = NetworkService(id="idle", name="idle", vip=IDLE_VIP, mark=0x102)
    made.add_service(MONGO, web)
    made.add_service(MONGO, idle)
    mesh = msgspec.structs.replace(web, vip=WEB_INGRESS_VIP, ports=ports)
    made.add_service(INGRESS, mesh)
    made.add_sandbox("h1", "client", {MONGO: "10.0.1.20"})
    for task, address in TASKS.items():
        both = {INGRESS: address.replace("10.0.1", "10.0.0"), MONGO: address}
        made.add_sandbox("h1", task, both, "web", ready=task in ready, vips=(WEB_VIP,))
    return made


def place(task):
    return task.ljust(12, "0")


class Server:
    """Tells a task's name and its client's address to who connects, and echoes from then on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened = socket.create_server(("0.0.0.0", PORT), backlog=512)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, client = self.opened.accept()
                threading.Thread(target=self._talk, args=(connection, client), daemon=True).start()

    def _talk(self, connection: socket.socket, client: tuple[str, int]) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(f"{self.name} {client[0]}\n".encode())
            while heard := connection.recv(64):
                connection.sendall(heard)


def ask(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=60) as opened:
        return opened.makefile().readline().strip()


class Rig:
    """The host, its servers, and a stranger on its underlay."""

    def __init__(self, host: Host, runner: asyncio.Runner, balancer: str) -> None:
        self.host, self.balancer = host, balancer
        self._runner = runner
        self.kernel = runner.run(self._open())
        if balancer == "ipvs":
            assert runner.run(self.kernel.load_ipvs()) == ""
        self._add_stranger()
        self.show()
        self.servers = [self.within(place(each), lambda each=each: Server(each)) for each in TASKS]

    async def _open(self) -> Kernel:
        return Kernel(self.host.netns_dir, self.host.home)

    def _add_stranger(self) -> None:
        path = self.host.path("stranger")
        netns.create(path)
        for namespace, command in (
            (HOST, "ip link set lo up"),
            (HOST, f"ip link add under type veth peer name eth0 netns {path}"),
            (HOST, f"ip addr add {HERE}/24 dev under"),
            (HOST, "ip link set under up"),
            ("stranger", f"ip addr add {OUTSIDE}/24 dev eth0"),
            ("stranger", "ip link set eth0 up"),
        ):
            self.host.run(namespace, command)

    def close(self) -> None:
        self._runner.run(self.kernel.close())

    def show(self, ready=tuple(TASKS), options=None) -> None:
        """Bring the host to a scene."""
        wanted = desired(scene(self.balancer, ready, options).view("h1"))
        for _ in range(PASSES):
            seen = self._runner.run(self.kernel.observe(None, needed_sysctls(wanted)))
            todo = diff(wanted, seen)
            if not todo:
                return
            failures = self._runner.run(self.kernel.apply(todo))
        assert failures == ()

    def within(self, namespace, work):
        with netns.inside(self.host.path(namespace)):
            return work()

    def asked(self, namespace, address, port=PORT, count=1):
        """Who answered how often, and the clients that were seen."""
        answers = self.within(namespace, lambda: [ask(address, port) for _ in range(count)])
        words = [each.split(" ") for each in answers]
        return collections.Counter(word[0] for word in words), {word[1] for word in words}


def has_ipvs() -> bool:
    return ipvs.find() is not None


NEEDS_IPVS = pytest.mark.skipif(not has_ipvs(), reason="this kernel has no IPVS (module ip_vs)")


@pytest.fixture(scope="module", params=["nft", pytest.param("ipvs", marks=NEEDS_IPVS)])
def rig(request, tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("balanced"))
    try:
        with asyncio.Runner() as runner:
            rig = Rig(host, runner, request.param)
            try:
                yield rig
            finally:
                rig.close()
    finally:
        host.close()


@pytest.fixture(autouse=True)
def everybody(rig):
    rig.show()


def test_a_virtual_address_is_shared_out_evenly(rig):
    answered, clients = rig.asked(place("client"), WEB_VIP, count=60)
    assert answered == dict.fromkeys(TASKS, 20)
    assert clients == {"10.0.1.20"}


def test_a_task_reaches_its_own_service(rig):
    answered, _ = rig.asked(place("web1"), WEB_VIP, count=6)
    assert sum(answered.values()) == 6
    assert answered["web1"] == 2


@pytest.mark.parametrize("port", [PUBLISHED, OTHER])
def test_a_stranger_is_seen_as_who_it_is(rig, port):
    answered, clients = rig.asked("stranger", HERE, port, count=30)
    assert answered == dict.fromkeys(TASKS, 10)
    assert clients == {OUTSIDE}


@pytest.mark.parametrize("address", ["127.0.0.1", HERE])
def test_the_host_itself_may_ask(rig, address):
    answered, clients = rig.asked(HOST, address, PUBLISHED, count=9)
    assert answered == dict.fromkeys(TASKS, 3)
    assert clients == {ingress_address("h1")}


@pytest.mark.parametrize("address", [IDLE_VIP, WEB_VIP])
def test_without_a_ready_task_it_refuses_at_once(rig, address):
    rig.show(ready=())
    for namespace, asked, port in ((place("client"), address, PORT), ("stranger", HERE, PUBLISHED)):
        with pytest.raises(OSError) as refused:
            rig.asked(namespace, asked, port)
        assert refused.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize(
    ("namespace", "address", "port"),
    [(place("client"), WEB_VIP, PORT), ("stranger", HERE, PUBLISHED)],
)
def test_open_connections_outlast_their_tasks_turn(rig, namespace, address, port):
    rig.show(ready=("web1",))
    opened = rig.within(namespace, lambda: socket.create_connection((address, port), timeout=60))
    with opened, opened.makefile() as lines:
        assert lines.readline().startswith("web1 ")
        rig.show(ready=("web2", "web3"))
        answered, _ = rig.asked(namespace, address, port, count=10)
        assert answered == {"web2": 5, "web3": 5}
        opened.sendall(b"still there\n")
        assert lines.readline() == "still there\n"
    rig.show()
    answered, _ = rig.asked(namespace, address, port, count=30)
    assert answered == dict.fromkeys(TASKS, 10)


@pytest.mark.parametrize("balance", ["random", "source"])
def test_other_ways_to_share_out(rig, balance):
    rig.show(options={"skep.balance": balance})
    for namespace, address, port in (
        (place("client"), WEB_VIP, PORT),
        ("stranger", HERE, PUBLISHED),
    ):
        answered, _ = rig.asked(namespace, address, port, count=40)
        assert len(answered) == (1 if balance == "source" else len(TASKS))


def test_a_client_stays_for_a_while(rig):
    rig.show(options={"skep.affinity": "10m"})
    ((home, _),) = rig.asked("stranger", HERE, PUBLISHED, count=12)[0].items()
    others = tuple(each for each in TASKS if each != home)
    rig.show(ready=others, options={"skep.affinity": "10m"})
    answered, _ = rig.asked("stranger", HERE, PUBLISHED, count=12)
    assert len(answered) == 1
    assert set(answered) < set(others)


@NEEDS_IPVS
class TestInIpvs:
    @pytest.fixture(autouse=True)
    def by_ipvs(self, rig):
        if rig.balancer != "ipvs":
            pytest.skip("nftables has nothing there")

    def test_it_shows_what_was_planned(self, rig):
        client, mesh = (rig.within(name, ipvs.find().services)
                        for name in (place("client"), "ingress_sbox"))  # fmt: skip
        (service,) = (each for each in client if each.mark == WEB_MARK)
        assert service.destinations == {Destination(each, 1) for each in TASKS.values()}
        (service,) = mesh
        assert (service.mark, service.scheduler, service.affinity) == (WEB_MARK, "rr", 0)
        told = rig.host.run(place("client"), "ipvsadm -Ln")
        assert f"FWM  {WEB_MARK} rr" in told
        assert told.count("Masq    1") == len(TASKS)

    def test_idle_connections_live_for_days(self, rig):
        told = rig.host.run("ingress_sbox", "ipvsadm -Ln --timeout")
        assert told.split()[-3:] == ["432000", "120", "300"]

    @pytest.mark.parametrize(
        ("balance", "scheduler"),
        [("rr", "rr"), ("lc", "lc"), ("source", "mh"), ("sh", "sh"), ("mh", "mh")],
    )
    def test_schedulers_by_label(self, rig, balance, scheduler):
        rig.show(options={"skep.balance": balance})
        (service,) = rig.within("ingress_sbox", ipvs.find().services)
        assert service.scheduler == scheduler
        answered, _ = rig.asked("stranger", HERE, PUBLISHED, count=12)
        assert sum(answered.values()) == 12

    def test_affinity_is_its_own(self, rig):
        rig.show(options={"skep.affinity": "10m"})
        (service,) = rig.within("ingress_sbox", ipvs.find().services)
        assert service.affinity == 600

    def test_what_somebody_changes_comes_back(self, rig):
        before = rig.within("ingress_sbox", ipvs.find().services)
        rig.host.run("ingress_sbox", "ipvsadm -C")
        rig.host.run("ingress_sbox", "ipvsadm --set 900 120 300")
        rig.show()
        assert rig.within("ingress_sbox", ipvs.find().services) == before
        assert rig.within("ingress_sbox", ipvs.find().timeouts).tcp == 432000

    def test_the_other_balancer_takes_over(self, rig):
        rig.balancer = "nft"
        try:
            rig.show()
            assert rig.within("ingress_sbox", ipvs.find().services) == frozenset()
            answered, _ = rig.asked("stranger", HERE, PUBLISHED, count=12)
            assert answered == dict.fromkeys(TASKS, 4)
        finally:
            rig.balancer = "ipvs"
