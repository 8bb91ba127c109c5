"""Networks: a swarm's and a host's own, as ``network ls`` and ``network inspect`` show them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from skep.api.ports import LocalNetwork
from skep.api.shapes.base import Json, instant
from skep.model.assignment import NetworkAssignment, NetworkEndpoint, NetworkService, PeerNode
from skep.model.cluster import Network
from skep.model.host import INGRESS_SANDBOX, SHORT, Endpoint, HostView, Sandbox
from skep.model.readings import Versions
from skep.model.secure import Pair
from skep.model.spec import Ipam, IpamConfig

INGRESS_KEY = "ingress-sbox"
INGRESS_ENDPOINT = "ingress-endpoint"
GATEWAY_NETWORK = "docker_gwbridge"
BUILT_IN = ("bridge", "host", "none", GATEWAY_NETWORK)
VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"

SwarmNetwork = Network | NetworkAssignment


def swarm_network(network: SwarmNetwork) -> Json:
    """A swarm network as the cluster sees it: without what is on this host."""
    spec = network.spec
    options = dict(spec.options)
    if network.subnets and not spec.lower:
        options[VXLAN_IDS] = ",".join(str(subnet.vni) for subnet in network.subnets)
    configs = [subnet.config for subnet in network.subnets] or list(spec.ipam.config)
    if spec.enable_i_pv6:
        # The routing mesh has IPv6 in any case, which is its own business.
        configs += [subnet.config6 for subnet in network.subnets if subnet.config6]
    return {
        "Name": spec.name,
        "Id": network.id,
        "Created": instant(network.created_at),
        "Scope": "swarm",
        "Driver": spec.driver or "overlay",
        "EnableIPv4": True,
        "EnableIPv6": bool(spec.enable_i_pv6),
        "IPAM": _ipam(spec.ipam, configs),
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": spec.ingress,
        "ConfigFrom": {"Network": spec.config_from.get("Network", "")},
        "ConfigOnly": spec.config_only,
        "Containers": {},
        "Options": options,
        "Labels": dict(spec.labels),
    }


def local_network(network: LocalNetwork) -> Json:
    """A network of this host alone."""
    configs = list(network.ipam)
    if network.subnet and not configs:
        configs.append(IpamConfig(subnet=network.subnet, gateway=network.gateway))
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": instant(network.created_at),
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": _local_ipam(network, configs),
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {},
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _ipam(ipam: Ipam, configs: Iterable[IpamConfig]) -> Json:
    return {
        "Driver": ipam.driver or "default",
        "Options": ipam.options or None,
        "Config": [_ipam_config(config) for config in configs],
    }


def _local_ipam(network: LocalNetwork, configs: Iterable[IpamConfig]) -> Json:
    shown = _ipam(Ipam(driver=network.ipam_driver, options=network.ipam_options), configs)
    # Clients send options of it always; nobody sent those of the networks that are there anyway.
    return shown if network.name in BUILT_IN else {**shown, "Options": shown["Options"] or {}}


def _ipam_config(config: IpamConfig) -> Json:
    shown: Json = {"Subnet": config.subnet}
    if config.ip_range:
        shown["IPRange"] = config.ip_range
    if config.gateway:
        shown["Gateway"] = config.gateway
    if config.auxiliary_addresses:
        shown["AuxiliaryAddresses"] = dict(config.auxiliary_addresses)
    return shown


def attached(view: HostView, network_id: str) -> Json:
    """``Containers``: this host's endpoints on a network, by container id.

    IPv6 addresses are shown where the network says that it has IPv6.
    """
    network = view.networks.get(network_id)
    own = any(each.network_id == network_id and each.named for each in view.bridges)
    sixth = own or (network is not None and bool(network.spec.enable_i_pv6))
    return {
        INGRESS_KEY if box.id == INGRESS_SANDBOX else box.container_id: {
            **_attached(box, endpoint),
            "IPv6Address": endpoint.address6 if sixth else "",
        }
        for box in view.sandboxes
        for endpoint in box.endpoints
        if endpoint.network_id == network_id
    }


def _attached(box: Sandbox, endpoint: Endpoint) -> Json:
    return {
        "Name": _endpoint_name(box, endpoint),
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": endpoint.address,
    }


def _endpoint_name(box: Sandbox, endpoint: Endpoint) -> str:
    ingress = box.id == INGRESS_SANDBOX
    if endpoint.network_name == GATEWAY_NETWORK:
        return f"gateway_{INGRESS_KEY if ingress else box.id[:SHORT]}"
    return INGRESS_ENDPOINT if ingress else box.container_name


def peers(view: HostView, network: NetworkAssignment) -> list[Json]:
    """``Peers``: the hosts that have endpoints on the network; all hosts for the ingress one."""
    return [{"Name": peer_name(peer.id), "IP": peer.address} for peer in _present(view, network)]


def hosts(
    view: HostView, network: NetworkAssignment, versions: Mapping[str, Versions]
) -> list[Json]:
    """``Hosts``, which Docker does not have: the same by name, with the revision of the cluster's
    state that each one's kernel was brought to, and the one it was told of last; both are null of
    hosts without a session, and of all hosts if a worker is asked."""
    found = []
    for peer in sorted(_present(view, network), key=lambda each: each.hostname):
        known = versions.get(peer.id)
        applied, told = (known.applied, known.told) if known else (None, None)
        found.append({"Name": peer.hostname, "Applied": applied, "Told": told})
    return found


def _present(view: HostView, network: NetworkAssignment) -> list[PeerNode]:
    if network.spec.ingress:
        present = set(view.peers)
    else:
        present = {endpoint.node_id for endpoint in network.endpoints.values()}
        present.add(view.node_id)
    return [view.peers[node] for node in sorted(present) if node in view.peers]


def encryption(network: NetworkAssignment, pairs: Iterable[Pair]) -> Json:
    """``Encryption`` of an encrypted network: whether each host that has endpoints on it has just
    answered through WireGuard. Docker has no such thing."""
    there = {endpoint.node_id for endpoint in network.endpoints.values()}
    return {
        "Peers": [
            {
                "Name": pair.hostname,
                "Encrypted": pair.encrypted,
                "Why": pair.why,
                "Generation": pair.generation,
                "LastHandshake": instant(pair.handshake),
            }
            for pair in pairs
            if pair.node_id in there or network.spec.ingress
        ]
    }


def peer_name(node_id: str) -> str:
    """A host's name among peers: 12 hex digits that follow from the node's id."""
    return hashlib.sha256(node_id.encode()).hexdigest()[:SHORT]


def services(view: HostView, network: NetworkAssignment) -> Json:
    """``Services`` of ``network inspect --verbose``: each service with its tasks, wherever they
    are. Endpoint ids are known for this host's own tasks only; elsewhere they are ""."""
    here = {
        box.task_id: endpoint.id
        for box in view.sandboxes
        for endpoint in box.endpoints
        if endpoint.network_id == network.id and box.task_id
    }
    return {
        service.name: _service(service, network, view.peers, here)
        for service in network.services.values()
    }


def _service(
    service: NetworkService,
    network: NetworkAssignment,
    hosts: Mapping[str, PeerNode],
    here: Mapping[str, str],
) -> Json:
    tasks = [e for e in network.endpoints.values() if e.service_id == service.id]
    return {
        "VIP": service.vip.partition("/")[0],
        **({"VIP6": service.vip6} if service.vip6 and network.spec.enable_i_pv6 else {}),
        "Ports": [
            f"Target: {port.target_port}, Publish: {port.published_port}" for port in service.ports
        ],
        "LocalLBIndex": service.mark,
        "Tasks": [_service_task(task, hosts, here) for task in tasks],
    }


def _service_task(
    task: NetworkEndpoint, hosts: Mapping[str, PeerNode], here: Mapping[str, str]
) -> Json:
    host = hosts.get(task.node_id)
    return {
        "Name": task.names[0] if task.names else task.task_id,
        "EndpointID": here.get(task.task_id, ""),
        "EndpointIP": task.address.partition("/")[0],
        "Info": {"Host IP": host.vtep if host else ""},
    }
