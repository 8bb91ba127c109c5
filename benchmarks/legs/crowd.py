"""What a request through the mesh costs on a host with one service and on one with ten thousand.

``python -m legs.crowd COUNT`` makes, in network and mount namespaces of its own, the kernel of a
host of a cluster with so many published services, as ``skep.plan`` wants it and ``skep.kernel``
makes it: all of a host's namespaces, the first service's task in one of them. Then it does what it
is told on standard input: a line of `legs.peer`, done by a client outside that host.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from legs import peer
from legs.peer import QUICK
from legs.samples import Pairs, turns
from skep.kernel.kernel import Kernel
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService, PeerNode
from skep.model.cluster import Subnet
from skep.model.host import INGRESS_SANDBOX, Bridge, Endpoint, HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import NETNS_DIR
from skep.model.spec import IpamConfig, NetworkSpec, PortConfig
from skep.plan.desired import desired
from skep.plan.diff import diff, needed_sysctls

MANY = 10_000
SECONDS = 0.25
MAKINGS = 6
GOAL = 1.05
"""How many times what it costs beside one service a request may cost beside ten thousand."""

HERE, CLIENT, ELSEWHERE = "192.0.2.1", "192.0.2.9", "192.0.2.2"
INGRESS, GATEWAY, OUTSIDE = "ingressnetwork", "gateway", "outside"
BRIDGE = Bridge(
    network_id=GATEWAY, network_name="docker_gwbridge", name="docker_gwbridge",
    address="172.18.0.1/16",
)  # fmt: skip
BOX = "b" * 64


def address(number: int, subnet: str = "10.1") -> str:
    """An address of the ingress network by number."""
    first, second = map(int, subnet.split("."))
    return f"{first}.{second + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def service(number: int) -> NetworkService:
    """The service of that number; the first one's port is the peer's."""
    published = peer.PORT if number == 0 else 10_000 + number
    port = PortConfig(protocol="tcp", target_port=peer.PORT, published_port=published)
    return NetworkService(
        id=f"s{number:05}", name=f"s{number}", vip=address(number, "10.20"), mark=256 + number,
        ports=(port,),
    )  # fmt: skip


def endpoints(count: int) -> Iterator[NetworkEndpoint]:
    """The first service's task, which is here, and one to three of all others, elsewhere."""
    for number in range(count):
        for task in range(1 + number % 3):
            at = "10.0.0.9" if number == 0 else address(3 * number + task)
            yield NetworkEndpoint(
                task_id=f"t{number}.{task}", node_id="h1" if number == 0 else "h2", address=at,
                mac=mac_of(at), service_id=f"s{number:05}", ready=True,
            )  # fmt: skip


def sandbox(id: str, inner: str, outer: str) -> Sandbox:
    """A sandbox with a leg on the ingress network and one on docker_gwbridge."""
    legs = (
        Endpoint(
            id=f"i{id}", network_id=INGRESS, network_name="ingress", link="eth0",
            port=f"veth{inner.rpartition('.')[2]}", address=f"{inner}/8", mac=mac_of(inner),
        ),
        Endpoint(
            id=f"o{id}", network_id=GATEWAY, network_name=BRIDGE.name, link="eth1",
            port=f"vethgw{outer.rpartition('.')[2]}", address=f"{outer}/16", mac=mac_of(outer),
        ),
    )  # fmt: skip
    return Sandbox(id=id, endpoints=legs, gateway=f"o{id}")


def view(count: int) -> HostView:
    """The host."""
    network = NetworkAssignment(
        id=INGRESS, spec=NetworkSpec(name="ingress", driver="overlay", ingress=True),
        created_at=0.0, present=True,
        subnets=(Subnet(IpamConfig(subnet="10.0.0.0/8", gateway="10.0.0.1"), 4096),),
        endpoints={each.task_id: each for each in endpoints(count)},
        services={each.id: each for each in map(service, range(count))},
    )  # fmt: skip
    peers = {
        name: PeerNode(
            id=name, hostname=name, address=vtep, vtep=vtep, ingress_address=f"{ingress}/8"
        )
        for name, vtep, ingress in (("h1", HERE, "10.0.0.2"), ("h2", ELSEWHERE, "10.0.0.3"))
    }
    boxes = (
        sandbox(INGRESS_SANDBOX, "10.0.0.2", "172.18.0.2"), sandbox(BOX, "10.0.0.9", "172.18.0.3")
    )  # fmt: skip
    return HostView(
        node_id="h1", vtep=HERE, ingress_network=INGRESS, peers=peers, bridges=(BRIDGE,),
        networks={INGRESS: network}, sandboxes=boxes,
    )  # fmt: skip


async def make(count: int) -> None:
    """Make it, and look that it is there."""
    kernel = Kernel()
    wanted = desired(view(count))
    sysctls = needed_sysctls(wanted)
    for _ in range(2):  # what the bridge's module brings shows in the second round
        failures = await kernel.apply(diff(wanted, await kernel.observe(sysctls=sysctls)))
        assert not failures, failures
    left = diff(wanted, await kernel.observe(sysctls=sysctls))
    assert not left, f"not made: {left[:3]}"
    await kernel.close()


SETUP = f"""
mount -t tmpfs none {NETNS_DIR}
ip link set lo up
ip netns add {OUTSIDE}
ip link add uplink type veth peer name eth0 netns {OUTSIDE}
ip address add {HERE}/24 dev uplink
ip link set uplink up
ip -n {OUTSIDE} address add {CLIENT}/24 dev eth0
ip -n {OUTSIDE} link set eth0 up
"""


def main() -> None:
    """Make the host, serve in the task's sandbox, and ask from outside as told."""
    Path(NETNS_DIR).mkdir(parents=True, exist_ok=True)
    subprocess.run(["sh", "-ec", SETUP], check=True)
    asyncio.run(make(int(sys.argv[1])))
    program = str(Path(peer.__file__).resolve())
    with subprocess.Popen(
        ["ip", "netns", "exec", BOX[:12], sys.executable, program, "serve"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None, "it was started with a pipe"
        assert server.stdout.readline() == "ready\n", "the server did not start"
        print("ready", flush=True)
        subprocess.run(
            ["ip", "netns", "exec", OUTSIDE, sys.executable, program, "ask"], check=False
        )


@contextmanager
def host(count: int) -> Iterator[subprocess.Popen[str]]:
    """Such a host in a process of its own, ready to be asked."""
    spaces = ["unshare", "--net", "--mount", "--propagation", "private"]
    process = subprocess.Popen(
        [*spaces, sys.executable, "-m", "legs.crowd", str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=str(Path(__file__).parent.parent),
    )  # fmt: skip
    with process:
        assert process.stdout is not None, "it was started with a pipe"
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the host with {count} services was not made")
        yield process


def measure(rounds: int, many: int = MANY) -> Pairs:
    """Seconds that a connection with one request takes, beside one service and beside many.

    The hosts are made anew some times: where the kernel happens to put a host's tables in memory
    makes a difference of its own.
    """
    taken: dict[str, list[float]] = {"one": [], "many": []}
    for making in range(MAKINGS):
        with ExitStack() as stack:
            hosts = {
                "one": stack.enter_context(host(1)), "many": stack.enter_context(host(many))
            }  # fmt: skip
            share = rounds * (making + 1) // MAKINGS - rounds * making // MAKINGS
            for warm, order in enumerate(turns("one", "many", share + 1)):
                for name in order:
                    spent = _asked(hosts[name])
                    if warm:
                        taken[name].append(spent)
    return Pairs(taken["one"], taken["many"])


def _asked(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None and process.stdout is not None, "it was started with pipes"
    print(QUICK, HERE, SECONDS, file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a measuring process ended")
    return 1 / float(line)


if __name__ == "__main__":
    main()
