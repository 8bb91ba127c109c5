"""Clusters to draw: small ones with every kind of thing, and large ones."""

from __future__ import annotations

import msgspec

from skep.model.cluster import (
    Attachment,
    Network,
    Node,
    NodeDescription,
    Service,
    ServiceEndpoint,
    Subnet,
    Task,
    TaskState,
    TaskStatus,
    VirtualIp,
)
from skep.model.glance import Gauge, Glimpse, Space
from skep.model.host import INGRESS_SANDBOX, Bridge, Endpoint, Sandbox
from skep.model.inspection import PeerSight
from skep.model.netstate import HOST
from skep.model.spec import (
    ContainerSpec,
    IpamConfig,
    NetworkSpec,
    NodeSpec,
    PortConfig,
    Replicated,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
)
from skep.plan.layout import overlay_namespace
from skep.topology.sources import Sources

INGRESS, BACK = "ingressnet", "backnetwork"
GATEWAY = "gwbridge00"
NAMES = {INGRESS: "ingress", BACK: "back"}
BRIDGE = Bridge(
    network_id=GATEWAY, network_name="docker_gwbridge", name="docker_gwbridge",
    address="172.18.0.1/16",
)  # fmt: skip


def vtep(number):
    return f"192.168.90.{10 + number}"


def network(id, subnet, vni, **spec):
    config = IpamConfig(subnet=subnet, gateway=subnet.replace(".0/", ".1/").partition("/")[0])
    spec = NetworkSpec(name=spec.pop("name", id), driver="overlay", **spec)
    return Network(id=id, spec=spec, subnets=(Subnet(config, vni),))


def endpoint(network_id, link, address, port):
    return Endpoint(
        id=f"{port}ep", network_id=network_id, network_name=NAMES.get(network_id, network_id),
        link=link, port=port, address=address, mac="02:42:0a:00:00:01",
    )  # fmt: skip


def gauge(name, kind="veth", **fields):
    return Gauge(**{"name": name, "kind": kind, "index": 7, "mtu": 1450, "up": True, **fields})


class Cluster:
    """Made by the tests, thing by thing; `sources` is what is drawn of it."""

    def __init__(self, hosts=3):
        self.nodes = {
            f"n{n}": Node(
                id=f"n{n}", description=NodeDescription(hostname=f"h{n}"), state="ready",
                address=vtep(n), vtep=vtep(n), manager_address=f"{vtep(n)}:2377" if n == 1 else "",
                spec=NodeSpec(role="manager" if n == 1 else "worker"),
            )
            for n in range(1, hosts + 1)
        }  # fmt: skip
        self.networks = {
            INGRESS: network(INGRESS, "10.0.0.0/24", 4096, name="ingress", ingress=True),
            BACK: network(BACK, "10.0.1.0/24", 4097, name="back"),
        }
        self.services, self.tasks = {}, {}
        self.boxes = {node: [] for node in self.nodes}
        self.spaces = {node: self.bare(node) for node in self.nodes}
        self.silences = {}
        self.flows = {}
        self.serial = 10

    def bare(self, node):
        gauges = [gauge("docker_gwbridge", "bridge"), gauge("eth0", "veth", ours=False, mtu=1500)]
        return {HOST: Space(gauges=tuple(gauges))}

    def service(self, id, replicas=1, networks=(BACK,), **fields):
        spec = ServiceSpec(
            name=fields.pop("name", id), labels=fields.pop("labels", {}),
            mode=ServiceMode(replicated=Replicated(replicas=replicas)),
            task_template=TaskSpec(container_spec=ContainerSpec(image="web:1")),
        )  # fmt: skip
        vips = tuple(VirtualIp(each, f"10.0.1.{number}/24") for number, each in enumerate(networks))
        ports = (PortConfig(target_port=80, published_port=8080),)
        self.services[id] = Service(
            id=id, spec=spec, endpoint=ServiceEndpoint(ports=ports, virtual_ips=vips, mark=0x100),
            **fields,
        )  # fmt: skip

    def task(self, id, service, node="", slot=1, state=TaskState.RUNNING, **fields):
        """A task of a service, without a container."""
        status = TaskStatus(state=state, **fields.pop("status", {}))
        self.tasks[id] = Task(
            id=id, service_id=service, service_name=service, node_id=node, slot=slot,
            status=status, spec=TaskSpec(container_spec=ContainerSpec(image="web:1")), **fields,
        )  # fmt: skip

    def box(self, node, name, networks=(BACK,), task=""):
        """A container with its sandbox, its overlays and their interfaces."""
        plugs = []
        for number, each in enumerate([*networks, GATEWAY]):
            self.serial += 1
            address = f"10.{number}.{self.serial // 200}.{self.serial % 200}/24"
            plugs.append(endpoint(each, f"eth{number}", address, f"veth{self.serial}"))
        id = INGRESS_SANDBOX if name == INGRESS_SANDBOX else f"{name}{self.serial}x".ljust(64, "0")
        box = Sandbox(
            id=id, container_name=name, container_id=f"c{name}", task_id=task,
            endpoints=tuple(plugs),
        )  # fmt: skip
        self.boxes[node].append(box)
        spaces = self.spaces[node]
        spaces[box.namespace] = Space(gauges=tuple(gauge(each.link) for each in plugs))
        for each in networks:
            spaces.setdefault(overlay_namespace(each), self.overlay())
        return box

    def overlay(self):
        return Space(gauges=(gauge("br0", "bridge"), gauge("vxlan0", "vxlan", vni=4097)))

    def run(self, service, node, slot=1, networks=(BACK,)):
        """A running task of a service with its container."""
        id = f"{service}t{slot}"
        self.task(id, service, node, slot, attachments=tuple(
            Attachment(network_id=each, address="10.0.1.9/24") for each in networks
        ))  # fmt: skip
        return self.box(node, f"{service}.{slot}.{id}", networks, task=id)

    def reach(self, node, other, network_id=BACK, entries=1):
        """Forwarding entries of a host's tunnel to another host."""
        name = overlay_namespace(network_id)
        space = self.spaces[node][name]
        remotes = {**space.remotes, self.nodes[other].vtep: entries}
        self.spaces[node][name] = msgspec.structs.replace(space, remotes=remotes)

    def glimpse(self, node, **fields):
        present = [each for each in self.networks if overlay_namespace(each) in self.spaces[node]]
        peers = {each: sight() for each in self.nodes if each != node}
        return Glimpse(**{
            "node_id": node, "hostname": self.nodes[node].description.hostname, "at": 1000.0,
            "vtep": self.nodes[node].vtep, "networks": tuple(present), "bridges": (BRIDGE,),
            "sandboxes": tuple(self.boxes[node]), "spaces": self.spaces[node], "peers": peers,
            **fields,
        })  # fmt: skip

    def sources(self, **glimpses):
        """All of it; ``n1={…}`` alters a glimpse, ``n1=None`` is silence."""
        made = {
            node: self.glimpse(node, **glimpses.get(node, {}))
            for node in self.nodes
            if glimpses.get(node, {}) is not None
        }
        return Sources(
            nodes=tuple(self.nodes.values()),
            networks=tuple(self.networks.values()),
            services=tuple(self.services.values()),
            tasks=tuple(self.tasks.values()),
            glimpses=made,
            silences=self.silences,
            flows=self.flows,
        )


def sight(**fields):
    return PeerSight(**{
        "address": "192.168.90.99", "seen_at": 1000.0, "rtt": 0.0004, "probes": 20,
        "large_probes": 5, "large_size": 1500, **fields,
    })  # fmt: skip


def small():
    """Three hosts: web twice on a network, a client by hand, the mesh everywhere."""
    cluster = Cluster()
    cluster.service("web", replicas=2, networks=(INGRESS, BACK))
    for number, node in enumerate(("n1", "n2"), 1):
        cluster.run("web", node, number, (INGRESS, BACK))
    cluster.box("n1", "client")
    for node in cluster.nodes:
        cluster.box(node, INGRESS_SANDBOX, (INGRESS,))
    cluster.reach("n1", "n2", BACK, 1)
    cluster.reach("n2", "n1", BACK, 2)
    return cluster


def large(hosts=3, services=10, boxes=1000, networks=1):
    """So many containers of so many services, evenly spread."""
    cluster = Cluster(hosts)
    for number in range(networks):
        cluster.networks[f"net{number:04}x"] = network(
            f"net{number:04}x", f"10.{number}.0.0/16", 5000 + number
        )
    for number in range(services):
        cluster.service(f"s{number:04}", replicas=boxes // services, networks=())
    for number in range(boxes):
        joined = (f"net{number % networks:04}x",)
        service = f"s{number % services:04}"
        cluster.run(service, f"n{number % hosts + 1}", number // services + 1, joined)
    return cluster
