"""Founding a swarm: the keys, certificates, tokens and ids that its first manager makes."""

from __future__ import annotations

import secrets
import time

import msgspec

from skep.advertise import PORT, Reach, joined, split
from skep.api.ports import InitRequest
from skep.manager.manager import new_swarm_id
from skep.model.cluster import Cluster, Node, NodeDescription, Tokens
from skep.model.spec import NodeSpec
from skep.wire.authority import Authority, Subject, make_key_and_csr
from skep.wire.identity import Identity
from skep.wire.tls import Credentials
from skep.wire.tokens import new_secret


class Founding(msgspec.Struct, frozen=True):
    """A new swarm, before anything of it is written down."""

    identity: Identity
    cluster: Cluster
    node: Node


def found(request: InitRequest, description: NodeDescription, reach: Reach) -> Founding:
    """Keys, certificates, tokens and ids of a new swarm whose first manager this host is."""
    now = time.time()
    node_id, cluster_id = new_swarm_id(), new_swarm_id()
    authority = Authority.create(now)
    key, csr = make_key_and_csr()
    subject = Subject(node_id=node_id, role="manager", cluster_id=cluster_id)
    days = request.certificate_days
    certificate = authority.sign(csr, subject, days=days, now=now)
    _, listening = split(request.listen_address, PORT)
    _, port = split(request.advertise_address, listening)
    managers = {node_id: joined(reach.address, port)}
    cluster = Cluster(
        id=cluster_id,
        ca_certificate=authority.certificate_pem,
        ca_key=authority.key_pem,
        tokens=Tokens(
            worker=new_secret(secrets.token_bytes(20)), manager=new_secret(secrets.token_bytes(20))
        ),
        address_pools=request.address_pools or ("10.0.0.0/8",),
        subnet_size=request.subnet_size,
        data_path_port=request.data_path_port,
        task_history=request.task_history,
        heartbeat=request.heartbeat,
        certificate_days=days,
        mesh_key=secrets.token_bytes(32),
        labels=dict(request.labels),
    )
    node = Node(
        id=node_id,
        spec=NodeSpec(role="manager", availability=request.availability),
        description=description,
        address=reach.address,
        vtep=reach.vtep,
        manager_address=managers[node_id],
    )
    identity = Identity(
        credentials=Credentials(certificate=certificate, key=key, ca=authority.certificate_pem),
        address=reach.address,
        vtep=reach.vtep,
        address_link=reach.address_link,
        vtep_link=reach.vtep_link,
        listen_address=request.listen_address,
        managers=managers,
    )
    return Founding(identity, cluster, node)
