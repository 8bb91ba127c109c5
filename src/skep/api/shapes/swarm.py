"""The swarm itself, as ``GET /swarm`` and ``docker info`` show it."""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from skep.api.ports import Membership
from skep.api.shapes.base import Json, meta
from skep.model.cluster import Cluster
from skep.model.spec import SECOND

DAY = 24 * 3600 * SECOND

SWARM_NAME = "default"
RAFT = {
    "SnapshotInterval": 10000,
    "KeepOldSnapshots": 0,
    "LogEntriesForSlowFollowers": 500,
    "ElectionTick": 10,
    "HeartbeatTick": 1,
}
"""Docker's defaults. Skep has no Raft of its own; clients send these back unchanged."""


@lru_cache(maxsize=4)
def tls_info(certificate: str) -> Json:
    """``TLSInfo`` of a CA's certificate (PEM)."""
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "TrustRoot": certificate,
        "CertIssuerSubject": base64.b64encode(parsed.subject.public_bytes()).decode(),
        "CertIssuerPublicKey": base64.b64encode(key).decode(),
    }


def spec(cluster: Cluster) -> Json:
    """The swarm's spec, as clients send it back to ``POST /swarm/update``."""
    return {
        "Name": SWARM_NAME,
        "Labels": dict(cluster.labels),
        "Orchestration": {"TaskHistoryRetentionLimit": cluster.task_history},
        "Raft": RAFT,
        "Dispatcher": {"HeartbeatPeriod": round(cluster.heartbeat * SECOND)},
        "CAConfig": {"NodeCertExpiry": cluster.certificate_days * DAY},
        "TaskDefaults": {},
        "EncryptionConfig": {"AutoLockManagers": False},
    }


def description(cluster: Cluster) -> Json:
    """The swarm without its secrets (``Cluster`` of ``docker info``)."""
    return {
        "ID": cluster.id,
        **meta(cluster),
        "Spec": spec(cluster),
        "TLSInfo": tls_info(cluster.ca_certificate),
        "RootRotationInProgress": False,
        "DefaultAddrPool": list(cluster.address_pools),
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.data_path_port,
    }


def membership_info(membership: Membership, **counts: int) -> Json:
    """``Swarm`` of ``docker info``: this host's place; ``counts`` of nodes if it is a manager."""
    active = membership.state == "active"
    shown: Json = {
        "NodeID": membership.node_id,
        "NodeAddr": membership.address,
        "LocalNodeState": membership.state,
        "ControlAvailable": active and membership.manager,
        "Error": membership.error,
        "RemoteManagers": [
            {"NodeID": node, "Addr": address} for node, address in membership.managers.items()
        ]
        or None,
        **counts,
    }
    if active and membership.cluster is not None:
        shown["Cluster"] = description(membership.cluster)
    return shown
