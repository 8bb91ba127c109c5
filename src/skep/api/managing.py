"""What handlers of the swarm's objects share."""

from __future__ import annotations

from skep.api.ports import Ports
from skep.api.shapes.base import Json
from skep.api.shapes.swarm import tls_info
from skep.cluster.state import State
from skep.model.cluster import Cluster
from skep.model.errors import Unavailable


def state(ports: Ports) -> State:
    """The cluster's state. Raises `Unavailable` with Docker's sentence if this is no manager."""
    return ports.cluster.state()


def cluster(ports: Ports) -> Cluster:
    """The swarm's own record. Raises `Unavailable` as `state`."""
    found = ports.cluster.state().cluster
    if found is None:
        raise Unavailable("The swarm is just being made: try again.")
    return found


def trust(ports: Ports) -> Json:
    """``TLSInfo`` of the swarm's CA."""
    return tls_info(cluster(ports).ca_certificate)
