"""A host in memory: its networks, its containers, and what a swarm makes of it."""

from __future__ import annotations

import asyncio
import os

import msgspec

from skep.api.ports import Container, LocalNetwork
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService, PeerNode
from skep.model.errors import Clash, Forbidden, Missing
from skep.model.host import INGRESS_SANDBOX, Endpoint, HostView, Sandbox
from skep.model.ids import mac_of

NODE1, NODE2 = "node1".ljust(25, "0"), "node2".ljust(25, "0")

LOCALS = (
    LocalNetwork(id="b1" * 32, name="bridge", driver="bridge", created_at=1.5,
                 subnet="172.17.0.0/16", gateway="172.17.0.1"),
    LocalNetwork(id="a1" * 32, name="host", driver="host", created_at=1.0),
    LocalNetwork(id="c1" * 32, name="none", driver="null", created_at=1.0),
)  # fmt: skip
GATEWAY = LocalNetwork(id="d1" * 32, name="docker_gwbridge", driver="bridge", created_at=2.0,
                       subnet="172.18.0.0/16", gateway="172.18.0.1")  # fmt: skip


class FakeNetworks:
    """A host's own networks, with what was asked for written down."""

    def __init__(self, host):
        self.host = host
        self.asked = []

    async def create(self, spec):
        if spec.driver not in ("", "bridge"):
            raise Missing(f'plugin "{spec.driver}" not found')
        network = LocalNetwork(
            id=os.urandom(32).hex(), name=spec.name, driver=spec.driver or "bridge",
            created_at=3.0, subnet="172.19.0.0/16", gateway="172.19.0.1", labels=spec.labels,
        )  # fmt: skip
        self.host.own = (*self.host.own, network)
        return network.id

    async def remove(self, network):
        if network in LOCALS:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        self.host.own = tuple(each for each in self.host.own if each != network)

    async def connect(self, container, network, config):
        self.asked.append(("connect", container.id, network.name, config))

    async def disconnect(self, container, network):
        self.asked.append(("disconnect", container.id, network.name))

    def drivers(self):
        return ()


class FakeHost:
    """Containers with sandboxes on the bridge; swarm networks as they are given to it."""

    def __init__(self, engine):
        self.engine = engine
        self.records = {}
        self.gateway = False
        self.own = ()
        self.swarm = {}
        self.ingress = None
        self.created = []
        self.started = asyncio.Event()

    def view(self):
        boxes = [record.sandbox for record in self.records.values() if record.sandbox]
        if self.ingress:
            boxes.append(self.ingress)
        present = {id: network for id, network in self.swarm.items() if network.present}
        return HostView(
            node_id=NODE1,
            peers={
                NODE1: PeerNode(NODE1, "node1", "192.168.90.11", "192.168.90.11", "10.0.0.2/24"),
                NODE2: PeerNode(NODE2, "node2", "192.168.90.12", "192.168.90.12", "10.0.0.3/24"),
            } if self.swarm else {},
            networks=present,
            sandboxes=tuple(boxes),
        )  # fmt: skip

    def local_networks(self):
        return (*LOCALS, *((GATEWAY,) if self.gateway else ()), *self.own)

    def swarm_networks(self):
        return self.swarm

    def containers(self):
        return tuple(self.records.values())

    def find(self, reference):
        name = reference.removeprefix("/")
        for record in self.records.values():
            if name in (record.id, record.name):
                return record
        found = [r for r in self.records.values() if name and r.id.startswith(name)]
        if len(found) != 1:
            raise Missing(f"No such container: {name}")
        return found[0]

    async def create(self, name, body):
        self.created.append(body)
        if body["Image"].partition(":")[0] not in ("busybox", "nginx"):
            raise Missing(f"No such image: {body['Image']}")
        name = name or f"skep_{len(self.records)}"
        for record in self.records.values():
            if record.name == name:
                raise Clash(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{record.id}". You have to remove (or rename) that container to be able to '
                    "reuse that name."
                )
        id = os.urandom(32).hex()
        mode = (body.get("HostConfig") or {}).get("NetworkMode") or "default"
        self.records[id] = Container(
            id=id,
            name=name,
            image=body["Image"],
            network_mode=mode,
            networks=(mode,),
            aliases={mode: ("al",)} if mode not in ("default", "host") else {},
            sandbox=Sandbox(id=os.urandom(32).hex(), container_id=id, container_name=name),
            exposed_ports=("80/tcp",) if body["Image"].startswith("nginx") else (),
            created_at=1000 + len(self.records) / 1000,
        )
        self.engine.create(id, name, body)
        return id, []

    async def start(self, container):
        if self.engine.containers[container.id]["State"] == "running":
            return False
        address = f"172.17.0.{len(self.records) + 1}/16"
        endpoint = Endpoint(
            id="ee" * 32, network_id="b1" * 32, network_name="bridge", link="eth0",
            port="veth1234567", address=address, mac=mac_of(address), names=(container.name,),
        )  # fmt: skip
        if container.network_mode == "default":
            sandbox = msgspec.structs.replace(container.sandbox, endpoints=(endpoint,))
            self.records[container.id] = msgspec.structs.replace(container, sandbox=sandbox)
        self.engine.start(container.id)
        self.started.set()
        return True

    async def stop(self, container, timeout):
        return self.engine.stop(container.id)

    async def remove(self, container, *, force, volumes):
        if self.engine.containers[container.id]["State"] == "running" and not force:
            raise Clash(f'cannot remove container "/{container.name}": container is running')
        self.engine.stop(container.id)
        del self.records[container.id], self.engine.containers[container.id]

    async def rename(self, container, name):
        if any(record.name == name for record in self.records.values()):
            raise Clash(f'Conflict. The container name "/{name}" is already in use')
        self.records[container.id] = msgspec.structs.replace(container, name=name)

    async def update(self, container, body):
        self.records[container.id] = msgspec.structs.replace(container, limits=body)

    async def traffic(self, container):
        return {"eth0": {"rx_bytes": 7, "tx_bytes": 9}}

    def enter_swarm(self, state):
        """What an agent does once its host is in a swarm: gateway, ingress, known networks."""
        self.gateway = True
        for network in state.networks.values():
            self.swarm[network.id] = NetworkAssignment(
                id=network.id, spec=network.spec, created_at=network.created_at,
                subnets=network.subnets, present=network.spec.ingress,
            )  # fmt: skip
        ingress = state.ingress
        legs = (
            Endpoint(id="1e" * 32, network_id=ingress.id, network_name="ingress", link="eth0",
                     port="veth0", address="10.0.0.2/24", mac=mac_of("10.0.0.2")),
            Endpoint(id="2e" * 32, network_id=GATEWAY.id, network_name="docker_gwbridge",
                     link="eth1", port="veth7654321", address="172.18.0.2/16",
                     mac=mac_of("172.18.0.2")),
        )  # fmt: skip
        self.ingress = Sandbox(id=INGRESS_SANDBOX, endpoints=legs, gateway=legs[1].id)

    def run_task(self, task, networks):
        """The container of a service's task, on its networks and on docker_gwbridge."""
        id, box = os.urandom(32).hex(), os.urandom(32).hex()
        endpoints = [
            Endpoint(id=os.urandom(32).hex(), network_id=a.network_id,
                     network_name=networks[a.network_id].spec.name, link=f"eth{n}", port=f"veth{n}",
                     address=a.address, mac=mac_of(a.address), names=(task.name,))
            for n, a in enumerate(task.attachments)
        ]  # fmt: skip
        endpoints.append(
            Endpoint(id="9e" * 32, network_id=GATEWAY.id, network_name="docker_gwbridge",
                     link="eth9", port="veth9", address="172.18.0.3/16", mac=mac_of("172.18.0.3"))
        )  # fmt: skip
        sandbox = Sandbox(id=box, container_id=id, container_name=task.name, task_id=task.id,
                          endpoints=tuple(endpoints), gateway=endpoints[-1].id)  # fmt: skip
        self.records[id] = Container(
            id=id, name=task.name, image="nginx:latest", network_mode="default",
            sandbox=sandbox, task_id=task.id, exposed_ports=("80/tcp",),
        )  # fmt: skip
        self.engine.create(
            id, task.name, {"Image": "nginx", "Labels": {"com.docker.swarm.task": ""}}
        )
        self.engine.start(id)
        for attachment in task.attachments:
            known = self.swarm[attachment.network_id]
            endpoint = NetworkEndpoint(
                task_id=task.id, node_id=NODE1, address=attachment.address,
                mac=mac_of(attachment.address), names=(task.name,), service_id=task.service_id,
                ready=True,
            )  # fmt: skip
            service = NetworkService(id=task.service_id, name=task.service_name, mark=256)
            self.swarm[known.id] = msgspec.structs.replace(
                known, present=True, endpoints={task.id: endpoint},
                services={service.id: service},
            )  # fmt: skip
        return id
