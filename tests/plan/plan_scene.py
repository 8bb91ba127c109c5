"""A small cluster to plan for: hosts h1..h3, ingress and user networks, services, sandboxes."""

from __future__ import annotations

import msgspec

from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService, PeerNode
from skep.model.cluster import Subnet
from skep.model.host import INGRESS_SANDBOX, Bridge, Endpoint, HostView, Sandbox
from skep.model.ids import mac_of
from skep.model.netstate import HostState
from skep.model.spec import IpamConfig, NetworkSpec, PortConfig
from skep.plan.desired import desired

INGRESS = "ingressnet0000000000000000"
MONGO = "mongonetwork00000000000000"
PROD = "prodnetwork000000000000000"
GATEWAY = "gwbridge"
DOCKER0 = "docker0"
WEB_VIP, WEB_INGRESS_VIP, IDLE_VIP = "10.0.1.2", "10.0.0.100", "10.0.1.9"
WEB_MARK, DNS_MARK, IDLE_MARK = 0x100, 0x101, 0x102
BRIDGES = (
    Bridge(network_id=DOCKER0, network_name="bridge", name="docker0", address="172.17.0.1/16"),
    Bridge(
        network_id=GATEWAY,
        network_name="docker_gwbridge",
        name="docker_gwbridge",
        address="172.18.0.1/16",
        icc=False,
    ),
)


def vtep(host: str) -> str:
    return f"192.168.50.{host[1:]}"


def ingress_address(host: str) -> str:
    return f"10.0.0.{int(host[1:]) + 1}"


def subnet(number: str, vni: int) -> Subnet:
    gateway = number.replace(".0/", ".1/").partition("/")[0]
    return Subnet(IpamConfig(subnet=number, gateway=gateway), vni)


class Scene:
    """Built up by the tests; `view` is what one host is told of it."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts or ("h1", "h2", "h3")
        self.networks = {
            INGRESS: NetworkAssignment(
                id=INGRESS,
                spec=NetworkSpec(name="ingress", driver="overlay", ingress=True),
                created_at=0.0,
                subnets=(subnet("10.0.0.0/24", 4096),),
                present=True,
            ),
        }
        self.add_network(MONGO, ("10.0.1.0/24", 4097))
        self.sandboxes: dict[str, list[Sandbox]] = {host: [] for host in self.hosts}
        self.balancer = "nft"

    def add_network(self, network_id, *subnets, **spec) -> None:
        self.networks[network_id] = NetworkAssignment(
            id=network_id,
            spec=NetworkSpec(name=network_id[:5], driver="overlay", **spec),
            created_at=0.0,
            subnets=tuple(subnet(*each) for each in subnets),
            present=True,
        )

    def add_service(self, network_id, service) -> None:
        network = self.networks[network_id]
        services = {**network.services, service.id: service}
        self.networks[network_id] = msgspec.structs.replace(network, services=services)

    def add_sandbox(
        self, host, name, addresses, service="", *, ready=True, vips=(), gateway=GATEWAY
    ):
        """A sandbox with an endpoint per network in ``addresses`` (id to address)."""
        count = len(self.sandboxes[host])
        endpoints = []
        for network_id, address in addresses.items():
            network = self.networks[network_id]
            mask = network.subnets[0].config.subnet.partition("/")[2]
            endpoints.append(
                Endpoint(
                    id=f"{name}-{network_id}",
                    network_id=network_id,
                    network_name=network.spec.name,
                    link=f"eth{len(endpoints)}",
                    port=f"veth{count + 1}",
                    address=f"{address}/{mask}",
                    mac=mac_of(address),
                    vips=vips if network_id != INGRESS else (),
                )
            )
            remote = NetworkEndpoint(
                task_id=name,
                node_id=host,
                address=f"{address}/{mask}",
                mac=mac_of(address),
                service_id=service,
                ready=ready,
            )
            members = {**network.endpoints, name: remote}
            self.networks[network_id] = msgspec.structs.replace(network, endpoints=members)
        if gateway:
            base = next(each for each in BRIDGES if each.network_id == gateway).address[:9]
            address = f"{base.rpartition('.')[0]}.{count + 3}"
            endpoints.append(bridge_leg(name, gateway, address, len(endpoints)))
        self.sandboxes[host].append(
            Sandbox(
                id=name.ljust(64, "0"),
                endpoints=tuple(endpoints),
                gateway=endpoints[-1].id if gateway else "",
            )
        )
        return name[:12].ljust(12, "0")

    def view(self, host: str) -> HostView:
        return HostView(
            node_id=host,
            vtep=vtep(host),
            ingress_network=INGRESS,
            peers={
                each: PeerNode(
                    id=each,
                    hostname=each,
                    address=vtep(each),
                    vtep=vtep(each),
                    ingress_address=f"{ingress_address(each)}/24",
                )
                for each in self.hosts
            },
            networks=self.networks,
            sandboxes=(*self.sandboxes[host], ingress_sandbox(host)),
            bridges=BRIDGES,
            balancer=self.balancer,
        )

    def world(self) -> dict[str, HostState]:
        return {vtep(host): desired(self.view(host)) for host in self.hosts}


def bridge_leg(name: str, bridge: str, address: str, index: int) -> Endpoint:
    return Endpoint(
        id=f"{name}-{bridge}",
        network_id=bridge,
        network_name=bridge,
        link=f"eth{index}",
        port=f"veth{address.replace('.', '')[-5:]}{bridge[:2]}",
        address=f"{address}/16",
        mac=mac_of(address),
    )


def ingress_sandbox(host: str) -> Sandbox:
    address = ingress_address(host)
    leg = bridge_leg(INGRESS_SANDBOX, GATEWAY, "172.18.0.2", 1)
    inner = Endpoint(
        id=f"ingress-{host}",
        network_id=INGRESS,
        network_name="ingress",
        link="eth0",
        port="veth0",
        address=f"{address}/24",
        mac=mac_of(address),
    )
    return Sandbox(id=INGRESS_SANDBOX, endpoints=(inner, leg), gateway=leg.id)


def web_scene(*hosts: str) -> Scene:
    """``web`` on mongo and published (8080 to 80 tcp, 5353 to 53 udp), with tasks on h1 and h2;
    ``idle`` without a ready task; a lone client on h1."""
    scene = Scene(*hosts)
    ports = (
        PortConfig(protocol="tcp", target_port=80, published_port=8080),
        PortConfig(protocol="udp", target_port=53, published_port=5353),
    )
    scene.add_service(MONGO, NetworkService(id="web", name="web", vip=WEB_VIP, mark=WEB_MARK))
    scene.add_service(MONGO, NetworkService(id="idle", name="idle", vip=IDLE_VIP, mark=IDLE_MARK))
    scene.add_service(
        INGRESS,
        NetworkService(id="web", name="web", vip=WEB_INGRESS_VIP, mark=WEB_MARK, ports=ports),
    )
    scene.add_sandbox("h1", "client", {MONGO: "10.0.1.20"})
    scene.add_sandbox(
        "h1", "web1", {INGRESS: "10.0.0.11", MONGO: "10.0.1.11"}, "web", vips=(WEB_VIP,)
    )
    scene.add_sandbox(
        "h2", "web2", {INGRESS: "10.0.0.12", MONGO: "10.0.1.12"}, "web", vips=(WEB_VIP,)
    )
    scene.add_sandbox("h2", "idle1", {MONGO: "10.0.1.30"}, "idle", ready=False)
    return scene
