"""What balancing costs and how even it is: first packets to a service, by a real kernel.

Run as root: ``python benchmarks/turns.py [services]``. It makes a network namespace of its own,
fills it with the table of an ingress sandbox for one and for many services, and opens flows to one.
"""

from __future__ import annotations

import collections
import ctypes
import re
import socket
import subprocess
import sys
import time

import msgspec

from skep.kernel.nftables import Library
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService
from skep.model.cluster import Subnet
from skep.model.host import INGRESS_SANDBOX, HostView, Sandbox
from skep.model.spec import IpamConfig, NetworkSpec, PortConfig
from skep.plan.family import IP
from skep.plan.ingress import ingress_table

CLONE_NEWNET = 0x40000000
FLOWS, ROUNDS = 2000, 9
VIP, PORT = "10.100.0.1", 10000


def view(services: int) -> HostView:
    """A host of a cluster with so many services of one to three tasks, each with a port."""
    network = NetworkAssignment(
        id="ingress",
        spec=NetworkSpec(name="ingress", ingress=True),
        created_at=0.0,
        subnets=(Subnet(IpamConfig(subnet="10.0.0.0/8", gateway="10.0.0.1"), 4096),),
        services={f"s{n}": service(n) for n in range(services)},
        endpoints={
            f"t{n}.{task}": endpoint(n, task) for n in range(services) for task in range(1 + n % 3)
        },
    )
    return HostView(node_id="h1", ingress_network="ingress", networks={"ingress": network})


def service(number: int) -> NetworkService:
    """The service of that number; the first four have two tasks each."""
    vip = f"10.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    port = PortConfig(protocol="udp", target_port=8000, published_port=PORT + number)
    return NetworkService(
        id=f"s{number}", name=f"s{number}", vip=vip, mark=256 + number, ports=(port,)
    )


def endpoint(number: int, task: int) -> NetworkEndpoint:
    """A task at an address of the loopback network, so that flows end at once."""
    address = f"127.{1 + task}.{number // 250}.{number % 250 + 1}"
    return NetworkEndpoint(
        task_id=f"t{number}.{task}", node_id="h1", address=address, mac="",
        service_id=f"s{number}", ready=True,
    )  # fmt: skip


def two_each(seen: HostView) -> HostView:
    """The same with two tasks for each service."""
    network = seen.networks["ingress"]
    endpoints = {
        f"t{n}.{task}": endpoint(n, task) for n in range(len(network.services)) for task in (0, 1)
    }
    changed = msgspec.structs.replace(network, endpoints=endpoints)
    return msgspec.structs.replace(seen, networks={"ingress": changed})


def fill(seen: HostView) -> tuple[int, float]:
    """Write the table; how many chains it has, and the seconds that it took."""
    table = ingress_table(seen, Sandbox(id=INGRESS_SANDBOX), IP)
    with Library().opened() as nft:
        begun = time.perf_counter()
        nft.replace(table)
        return len(table.chains), time.perf_counter() - begun


def flow(vip: str, port: int, source: int = 0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("", source))
        opened.connect((vip, port))
        opened.send(b"x")


def cost() -> float:
    """Microseconds of a new flow to the first service: socket, first packet, and closing."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(FLOWS):
            flow(VIP, PORT)
        rounds.append((time.perf_counter() - begun) / FLOWS * 1e6)
    return min(rounds)


def evenness(services: int, flows: int) -> list[list[int]]:
    """Flows to the first services in turn: how often each of a service's tasks was met."""
    fill(two_each(view(services)))
    for turn in range(flows):
        for number in range(services):
            flow(service(number).vip, PORT + number, 40000 + turn)
    with open("/proc/thread-self/net/nf_conntrack") as file:
        met = collections.Counter(re.search(r"dst=(10\.\S+).* src=(127\S+)", line).groups()
                                  for line in file if "dst=10." in line)  # fmt: skip
    tasks: dict[str, list[int]] = collections.defaultdict(list)
    for (vip, _), count in met.items():
        tasks[vip].append(count)
    return list(tasks.values())


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0, "it takes root"
    setup = f"ip link set lo up; ip addr add {VIP}/16 dev lo"
    subprocess.run(["sh", "-c", setup], check=True)
    print(f"4 services asked in turn, 2 tasks each: met {evenness(4, 1000)} times")
    figures: dict[int, list[float]] = collections.defaultdict(list)
    for count in (1, many, 1, many):
        chains, seconds = fill(view(count))
        figures[count].append(cost())
        print(f"{count:6} services: {chains:4} chains, written in {seconds:.2f} s, "
              f"{figures[count][-1]:.2f} µs a new flow")  # fmt: skip
    more = min(figures[many]) - min(figures[1])
    print(f"{many} services cost {more:+.2f} µs more than one")


if __name__ == "__main__":
    main()
