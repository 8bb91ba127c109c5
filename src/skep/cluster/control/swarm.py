"""Requests about the swarm itself: making it, its settings, its join tokens."""

from __future__ import annotations

from ipaddress import IPv4Network

import msgspec
from msgspec.structs import replace

from skep.cluster.context import Context
from skep.cluster.control.networks import create_network
from skep.cluster.control.nodes import add_node
from skep.cluster.state import Draft
from skep.cluster.subnets import LONGEST_PREFIX
from skep.model.cluster import Cluster, Node, Tokens
from skep.model.errors import Invalid, OutOfSequence, Unavailable
from skep.model.spec import NetworkSpec

KEYS_SETTLE = 20.0
"""Seconds that hosts have to change to new tunnel keys, before the next ones may come."""

INGRESS_NAME = "ingress"

ALREADY_PART = (
    "This node is already part of a swarm. "
    'Use "docker swarm leave" to leave this swarm and join another one.'
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``docker swarm update`` may change. ``heartbeat`` in seconds."""

    task_history: int = 5
    heartbeat: float = 5.0
    certificate_days: int = 90
    labels: dict[str, str] = {}


def init_cluster(draft: Draft, context: Context, *, cluster: Cluster, node: Node) -> None:
    """Make a new swarm: its record, the ingress network, its first node (a manager).

    The ingress network is the first subnet of the first pool, and VNI 4096. Raises `Invalid` for
    address pools that cannot be used, `Unavailable` if there is a swarm already.
    """
    if draft.cluster is not None:
        raise Unavailable(ALREADY_PART)
    check_pools(cluster.address_pools, cluster.subnet_size)
    times = {"created_at": context.now, "updated_at": context.now, "generation_at": context.now}
    draft.put(replace(cluster, **times))
    spec = NetworkSpec(name=INGRESS_NAME, driver="overlay", scope="swarm", ingress=True)
    create_network(draft, context, spec)
    add_node(draft, context, node)


def check_pools(pools: tuple[str, ...], subnet_size: int) -> None:
    """Raises `Invalid` unless every pool is an IPv4 subnet that holds one of the wanted size."""
    if not pools:
        raise Invalid("a swarm needs at least one address pool")
    seen: list[IPv4Network] = []
    for text in pools:
        try:
            pool = IPv4Network(text)
        except ValueError as error:
            raise Invalid(f"invalid address pool {text}: {error}") from None
        if not pool.prefixlen <= subnet_size <= LONGEST_PREFIX:
            raise Invalid(f"invalid address pool {text}: no /{subnet_size} subnet fits in it")
        if any(pool.overlaps(other) for other in seen):
            raise Invalid(f"invalid address pool {text}: it overlaps another one")
        seen.append(pool)


def update_cluster(draft: Draft, context: Context, version: int, settings: Settings) -> None:
    """Change the swarm's settings. Raises `OutOfSequence`, `Invalid`."""
    cluster = _at(draft, version)
    if settings.heartbeat < 1:
        raise Invalid("heartbeat period must be at least 1 second")
    if settings.certificate_days < 1:
        raise Invalid("certificates must be valid for at least one day")
    draft.put(
        replace(
            cluster,
            updated_at=context.now,
            task_history=settings.task_history,
            heartbeat=settings.heartbeat,
            certificate_days=settings.certificate_days,
            labels=settings.labels,
        )
    )


def rotate_tokens(
    draft: Draft, context: Context, version: int, *, worker: bool = False, manager: bool = False
) -> None:
    """Make new secrets for the chosen join tokens; the old ones admit nobody any more.

    Raises `OutOfSequence`.
    """
    cluster = _at(draft, version)
    tokens = Tokens(
        worker=context.new_id() if worker else cluster.tokens.worker,
        manager=context.new_id() if manager else cluster.tokens.manager,
    )
    draft.put(replace(cluster, tokens=tokens, updated_at=context.now))


def rotate_keys(draft: Draft, context: Context) -> int:
    """Have every host make a new tunnel key; answers the new generation.

    Raises `Unavailable` while hosts are still changing to the last one: each has two keys, and the
    one that is replaced must not be in use any more.
    """
    cluster = draft.cluster
    assert cluster is not None, "only a swarm's manager gets such requests"
    wait = cluster.generation_at + KEYS_SETTLE - context.now
    if wait > 0:
        raise Unavailable(
            f"hosts are still changing to the last tunnel keys: try again in {wait:.0f} seconds"
        )
    for node in draft.nodes.values():
        behind = all(key.generation != cluster.generation for key in node.keys)
        if node.state == "ready" and behind:
            name = node.description.hostname
            raise Unavailable(f"{name} has not made its tunnel key of the last generation yet")
    told = replace(cluster, generation=cluster.generation + 1, generation_at=context.now)
    draft.put(replace(told, updated_at=context.now))
    return told.generation


def _at(draft: Draft, version: int) -> Cluster:
    cluster = draft.cluster
    assert cluster is not None, "only a swarm's manager gets such requests"
    if cluster.version != version:
        raise OutOfSequence
    return cluster
