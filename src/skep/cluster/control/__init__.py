"""What users and agents ask of the cluster: each request checked and written into a draft, or
refused in Docker's words."""

from skep.cluster.control.attachments import AttachRequest, attach, detach
from skep.cluster.control.networks import create_network, remove_network
from skep.cluster.control.nodes import (
    NodeReport,
    add_node,
    remove_node,
    update_node,
    update_node_status,
)
from skep.cluster.control.services import (
    create_service,
    remove_service,
    rollback_service,
    update_service,
)
from skep.cluster.control.swarm import Settings, init_cluster, rotate_tokens, update_cluster
from skep.cluster.control.tasks import update_status

__all__ = [
    "AttachRequest",
    "NodeReport",
    "Settings",
    "add_node",
    "attach",
    "create_network",
    "create_service",
    "detach",
    "init_cluster",
    "remove_network",
    "remove_node",
    "remove_service",
    "rollback_service",
    "rotate_tokens",
    "update_cluster",
    "update_node",
    "update_node_status",
    "update_service",
    "update_status",
]
