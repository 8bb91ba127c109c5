"""What is measured on a manager: the cluster's state, counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from skep.cluster.lives import is_live, is_running
from skep.cluster.state import State
from skep.manager.facts import fills_of
from skep.model.readings import ClusterReadings, PoolReading


def read_cluster(state: State, behind: Mapping[str, int]) -> ClusterReadings:
    """All of it. ``behind`` is by node id."""
    live = [task for task in state.tasks.values() if task.service_id and is_live(task)]
    return ClusterReadings(
        revision=state.revision,
        behind={
            state.nodes[id].description.hostname: number
            for id, number in behind.items()
            if id in state.nodes
        },
        nodes=dict(Counter(node.state for node in state.nodes.values())),
        tasks=dict(Counter(task.status.state.word for task in state.tasks.values())),
        services=len(state.services),
        wanted=dict(Counter(task.service_name for task in live)),
        running=dict(Counter(task.service_name for task in live if is_running(task))),
        pools=tuple(
            PoolReading(network=fill.network, used=fill.used, size=fill.size)
            for network in state.networks.values()
            for fill in fills_of(state, network)
        ),
    )
