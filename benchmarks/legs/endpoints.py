"""What an endpoint costs: Skep's kernel module beside the usual commands, doing the same.

``python legs/endpoints.py COUNT`` moves into network and mount namespaces of its own and prints the
measurements as JSON. Each endpoint is what ``skep.plan`` wants for one more container here (its
sandbox, a leg on the overlay and one on docker_gwbridge, addresses, route) and one more elsewhere
(neighbour and forwarding entry). Name service, balancing and sysctls are left out on both sides.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from legs.samples import Pairs
from skep.kernel.kernel import Kernel
from skep.model import ops
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, PeerNode
from skep.model.cluster import Subnet
from skep.model.host import Bridge, Endpoint, HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import HOST, NETNS_DIR, HostState, Link
from skep.model.ops import Op
from skep.model.spec import IpamConfig, NetworkSpec
from skep.plan.desired import desired, namespaces_of
from skep.plan.diff import diff

SKEP, COMMANDS = "skep", "ip and bridge"
NETWORK, GATEWAY = "benchnetwork", "gateway"
VTEP, OTHER_VTEP = "192.0.2.1", "192.0.2.2"
BRIDGE = Bridge(
    network_id=GATEWAY, network_name="docker_gwbridge", name="docker_gwbridge",
    address="172.18.0.1/16",
)  # fmt: skip
LEFT_OUT = (ops.SetSysctl, ops.ReplaceTable, ops.DelTable, ops.SetElements)
GROUP_FILE = Path("/etc/iproute2/group")


def measure(count: int) -> dict[str, Pairs]:
    """Seconds per endpoint, ``count`` by each: wall clock, and processor time."""
    inner = [sys.executable, "-m", "legs.endpoints", str(count)]
    spaces = ["unshare", "--net", "--mount", "--propagation", "private"]
    folder = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [*spaces, *inner], check=True, stdout=subprocess.PIPE, text=True, cwd=folder
    )
    return {name: Pairs(*sides) for name, sides in json.loads(done.stdout).items()}


def view(count: int) -> HostView:
    """A host with ``count`` containers on a network that has as many elsewhere."""
    endpoints = {
        f"t{n}": NetworkEndpoint(
            task_id=f"t{n}", node_id="h2", address=address(128 + n), mac=mac_of(address(128 + n))
        )
        for n in range(count)
    }
    network = NetworkAssignment(
        id=NETWORK, spec=NetworkSpec(name="bench", driver="overlay"), created_at=0.0, present=True,
        subnets=(Subnet(IpamConfig(subnet="10.9.0.0/16", gateway="10.9.0.1"), 4097),),
        endpoints=endpoints,
    )  # fmt: skip
    peers = {
        name: PeerNode(id=name, hostname=name, address=vtep, vtep=vtep, ingress_address="")
        for name, vtep in (("h1", VTEP), ("h2", OTHER_VTEP))
    }
    return HostView(
        node_id="h1", vtep=VTEP, peers=peers, networks={NETWORK: network}, bridges=(BRIDGE,),
        sandboxes=tuple(map(sandbox, range(count))),
    )  # fmt: skip


def address(number: int, subnet: str = "10.9") -> str:
    """The address ``number`` of a /16, its first ones left to gateways."""
    high, low = divmod(number + 10, 256)
    return f"{subnet}.{high}.{low}"


def sandbox(number: int) -> Sandbox:
    """Container ``number``."""
    inner = f"{address(number + 4096)}/16"
    outer = f"{address(number, '172.18')}/16"
    legs = (
        Endpoint(
            id=f"i{number}", network_id=NETWORK, network_name="bench", link="eth0",
            port=f"veth{number}", address=inner, mac=mac_of(inner),
        ),
        Endpoint(
            id=f"o{number}", network_id=GATEWAY, network_name=BRIDGE.name, link="eth1",
            port=f"vethgw{number}", address=outer, mac=mac_of(outer),
        ),
    )  # fmt: skip
    return Sandbox(id=f"{number:064x}"[::-1], endpoints=legs, gateway=f"o{number}")


def steps_to(number: int) -> list[Op]:
    """What is to be done so that container ``number`` joins those before it."""
    later = view(number + 1)
    scope = namespaces_of(later, sandbox(number).namespace)
    wanted, there = desired(later, scope), desired(view(number), scope)
    return [op for op in diff(wanted, there, scope) if not isinstance(op, LEFT_OUT)]


def commands_of(op: Op) -> Iterator[list[str]]:
    """The commands that people would type for an operation."""
    ip = ["ip"] if op.ns == HOST else ["ip", "-n", op.ns]
    match op:
        case ops.AddNamespace(ns=name):
            yield ["ip", "netns", "add", name]
            yield [*ip, "link", "set", "lo", "up", "group", str(Link(name="lo").group)]
        case ops.AddLink(link=link, peer=Link() as peer):
            assert link.peer is not None, "a veth link has a peer"
            mtu, group = ["mtu", str(link.mtu)], ["group", str(link.group)]
            inner = ["name", peer.name, *mtu, *group, "address", peer.mac]
            yield [
                *ip, "link", "add", link.name, *mtu, *group, "type", "veth",
                "peer", *inner, "netns", link.peer.namespace,
            ]  # fmt: skip
            yield [*ip, "link", "set", link.name, "master", link.master, "up"]
            yield ["ip", "-n", link.peer.namespace, "link", "set", peer.name, "up"]
        case ops.AddAddress(address=found):
            yield [*ip, "address", "add", found.address, "dev", found.link]
        case ops.AddRoute(route=route):
            yield [*ip, "route", "replace", route.destination, "via", route.via, "dev", route.link]
        case ops.SetNeighbour(neighbour=found):
            entry = [found.address, "lladdr", found.mac, "dev", found.link]
            yield [*ip, "neighbour", "replace", *entry, "nud", "permanent"]
        case ops.SetFdb(fdb=fdb):
            bridge = ["bridge", *ip[1:], "fdb", "replace", fdb.mac, "dev", fdb.link]
            yield [*bridge, "dst", fdb.vtep, "self", "permanent"]
        case _:
            raise AssertionError(f"no command for {op!r}")


def used() -> tuple[float, float]:
    """Now, and the processor time of this process and those that it waited for: seconds."""
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    spent = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    return time.perf_counter(), spent


async def make(kernel: Kernel, way: str, steps: Sequence[Op]) -> tuple[float, float]:
    """Make one endpoint; wall clock and processor time in seconds."""
    commands = [command for op in steps for command in commands_of(op)]
    begun, spent = used()
    if way == SKEP:
        failures = await kernel.apply(steps)
        assert not failures, failures
    else:
        for command in commands:
            subprocess.run(command, check=True)
    ended, spent_then = used()
    return ended - begun, spent_then - spent


async def compare(count: int) -> dict[str, tuple[list[float], list[float]]]:
    """Make endpoints by turns, and look that they are all as planned."""
    kernel = Kernel()
    nothing = await kernel.observe()
    failures = await kernel.apply(diff(desired(view(0)), nothing))
    assert not failures, failures
    wall: dict[str, list[float]] = {COMMANDS: [], SKEP: []}
    processor: dict[str, list[float]] = {COMMANDS: [], SKEP: []}
    for number in range(2 * count + 2):
        way = COMMANDS if number % 2 else SKEP
        seconds, spent = await make(kernel, way, steps_to(number))
        if number >= 2:  # the first of each is for warming up
            wall[way].append(seconds)
            processor[way].append(spent)
    await check(kernel, desired(view(2 * count + 2)))
    await kernel.close()
    return {
        "wall clock": (wall[COMMANDS], wall[SKEP]),
        "processor": (processor[COMMANDS], processor[SKEP]),
    }


async def check(kernel: Kernel, wanted: HostState) -> None:
    """Whether both ways led to what was planned: a comparison of different things is none."""
    left = [op for op in diff(wanted, await kernel.observe()) if not isinstance(op, LEFT_OUT)]
    assert not left, f"not made: {left[:3]}"


def main() -> None:
    """Measure in this process's namespaces, which must be its own."""
    Path(NETNS_DIR).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", NETNS_DIR], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{VTEP}/32", "dev", "lo"], check=True)
    print(json.dumps(asyncio.run(compare(int(sys.argv[1])))))


if __name__ == "__main__":
    main()
