"""What users and agents ask of the cluster: each request checked and written into a draft, or
refused in Docker's words."""

from skep.cluster.control.attachments import AttachRequest, attach, detach
from skep.cluster.control.networks import add_subnets, create_network, remove_network
from skep.cluster.control.nodes import (
    NodeReport,
    add_node,
    move_manager,
    remove_node,
    report_grounds,
    report_keys,
    report_ports,
    update_node,
    update_node_status,
    with_fitting_end,
)
from skep.cluster.control.secrets import (
    create_config,
    create_secret,
    remove_config,
    remove_secret,
    update_config,
    update_secret,
)
from skep.cluster.control.services import (
    create_service,
    remove_service,
    rollback_service,
    update_service,
)
from skep.cluster.control.swarm import (
    Settings,
    init_cluster,
    rotate_keys,
    rotate_tokens,
    update_cluster,
)
from skep.cluster.control.tasks import update_status

__all__ = [
    "AttachRequest",
    "NodeReport",
    "Settings",
    "add_node",
    "add_subnets",
    "attach",
    "create_config",
    "create_network",
    "create_secret",
    "create_service",
    "detach",
    "init_cluster",
    "remove_config",
    "remove_network",
    "remove_node",
    "remove_secret",
    "remove_service",
    "report_grounds",
    "report_keys",
    "move_manager",
    "report_ports",
    "rollback_service",
    "rotate_keys",
    "rotate_tokens",
    "update_cluster",
    "update_config",
    "update_node",
    "update_node_status",
    "with_fitting_end",
    "update_secret",
    "update_service",
    "update_status",
]
