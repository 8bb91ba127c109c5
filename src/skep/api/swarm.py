"""``/swarm``: making, joining, leaving, and what holds for all of it."""

from __future__ import annotations

from aiohttp import web

from skep.api.call import Call, empty, json
from skep.api.joining import (
    InitBody,
    JoinBody,
    SwarmSpec,
    certificate_days,
    init_request,
    join_request,
    refuse_unsupported,
)
from skep.api.managing import cluster
from skep.api.ports import Membership
from skep.api.shapes import swarm as shapes
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.state import Draft
from skep.model.cluster import Cluster
from skep.model.errors import Clash, Unavailable, Unsupported
from skep.model.spec import SECOND

INACTIVE = "inactive"
ALREADY = (
    "This node is already part of a swarm. "
    'Use "docker swarm leave" to leave this swarm and join another one.'
)
NOT_PART = "This node is not part of a swarm"
LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
LAST_LEAVES = (
    "Removing the last manager erases all current state of the swarm. "
    "Use `--force` to ignore this message."
)
OTHERS_STAY = "The remaining managers go on. Use `--force` to suppress this message"


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /swarm``: with the join tokens, so on managers only."""
    found = cluster(call.ports)
    tokens = call.ports.cluster.membership().join_tokens
    return json(
        {
            **shapes.description(found),
            "JoinTokens": {"Worker": tokens.worker, "Manager": tokens.manager},
        }
    )


async def init(call: Call) -> web.StreamResponse:
    """``POST /swarm/init``: the answer is the node's id, a JSON string."""
    request = init_request(await call.decode(InitBody))
    _refuse_member(call.ports.cluster.membership())
    return json(await call.ports.cluster.init(request))


async def join(call: Call) -> web.StreamResponse:
    """``POST /swarm/join``."""
    body = await call.decode(JoinBody)
    _refuse_member(call.ports.cluster.membership())
    await call.ports.cluster.join(join_request(body))
    return empty(200)


async def leave(call: Call) -> web.StreamResponse:
    """``POST /swarm/leave?force=``: a manager only by force."""
    membership, force = call.ports.cluster.membership(), call.flag("force")
    if membership.state == INACTIVE:
        raise Unavailable(NOT_PART)
    if membership.manager and not force:
        raise Unavailable(LEAVING + (LAST_LEAVES if len(membership.managers) < 2 else OTHERS_STAY))
    await call.ports.cluster.leave(force)
    return empty(200)


async def update(call: Call) -> web.StreamResponse:
    """``POST /swarm/update``: settings, and new join tokens."""
    version = call.object_version("swarm")
    spec = await call.decode(SwarmSpec)
    refuse_unsupported(spec)
    if call.flag("rotateManagerUnlockKey"):
        raise Unsupported("locking managers is not supported by this version of Skep")
    settings = _settings(cluster(call.ports), spec)
    worker, manager = call.flag("rotateWorkerToken"), call.flag("rotateManagerToken")

    def decide(draft: Draft, context: Context) -> None:
        control.update_cluster(draft, context, version, settings)
        if worker or manager:
            control.rotate_tokens(draft, context, version, worker=worker, manager=manager)

    await call.ports.cluster.change(decide)
    return empty(200)


async def unlock_key(call: Call) -> web.StreamResponse:
    """``GET /swarm/unlockkey``: managers are never locked, so there is none."""
    cluster(call.ports)
    return json({"UnlockKey": ""})


async def unlock(call: Call) -> web.StreamResponse:
    """``POST /swarm/unlock``."""
    if call.ports.cluster.membership().state == INACTIVE:
        raise Unavailable(NOT_PART)
    raise Clash("swarm is not locked")


def _refuse_member(membership: Membership) -> None:
    if membership.state != INACTIVE:
        raise Unavailable(ALREADY)


def _settings(found: Cluster, spec: SwarmSpec) -> control.Settings:
    """What is to hold from now on; what the spec leaves out stays as it is."""
    history = spec.orchestration.task_history_retention_limit
    heartbeat = spec.dispatcher.heartbeat_period
    expiry = spec.ca_config.node_cert_expiry
    return control.Settings(
        task_history=found.task_history if history is None else history,
        heartbeat=heartbeat / SECOND if heartbeat else found.heartbeat,
        certificate_days=certificate_days(expiry) if expiry else found.certificate_days,
        labels=spec.labels,
    )


async def rotate_keys(call: Call) -> web.StreamResponse:
    """``POST /skep/rotate-keys``: new keys for encrypted tunnels."""
    generation = await call.ports.cluster.change(control.rotate_keys)
    return json({"generation": generation})
