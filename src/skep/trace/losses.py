"""Why a packet is lost although everything is as planned: what the walker's sentence means here."""

from __future__ import annotations

import re

from skep.model.netstate import HOST
from skep.plan.journey import Dropped, Journey, Place
from skep.trace.drift import place
from skep.trace.report import UNKNOWN, Trouble
from skep.trace.ruling import OURS, rule_words
from skep.trace.scene import Scene
from skep.trace.survey import tasks_in_words


def explain(scene: Scene, journey: Journey, end: Dropped) -> Trouble:
    """What was in the way, what should be, what to do."""
    for condition, reason in _REASONS:
        if re.search(condition, end.why):
            trouble = reason(scene, journey, end)
            if trouble is not None:
                return trouble
    return Trouble(where=place_words(scene, end.at), why=end.why)


def place_words(scene: Scene, at: Place) -> str:
    """A place for people."""
    host = scene.hosts.get(at.host)
    return place(host, at.namespace) if host else f"{at.namespace} on {scene.name(at.host)}"


def _by_rule(scene: Scene, journey: Journey, end: Dropped) -> Trouble | None:
    rule = end.rule
    if rule is None:
        return None
    host = scene.hosts.get(end.at.host)
    words = rule_words(host, end.at, rule)
    count = host.count(end.at.namespace, rule) if host else None
    if rule.table.startswith(OURS):
        return _by_our_rule(scene, journey, end, words)
    handle = f" handle {count.handle}" if count else ""
    enter = f"nsenter --net=/run/netns/{end.at.namespace} " if end.at.namespace != HOST else ""
    todo = f"on {scene.name(end.at.host)}: {enter}nft -a list chain {rule.family} {rule.table} "
    todo += rule.chain
    if rule.number >= 0:
        todo += f"; to remove it: {enter}nft delete rule {rule.family} {rule.table} {rule.chain}"
        todo += handle
    return Trouble(
        where=place_words(scene, end.at),
        why=f"{end.flow.protocol} {end.flow.source} -> {end.flow.target} is "
        f"{end.why.partition(' by ')[0]} by {words}",
        should="let through: this rule is not Skep's",
        todo=todo,
    )


def _by_our_rule(scene: Scene, journey: Journey, end: Dropped, words: str) -> Trouble:
    """Refusals that Skep means: services without backends, bridges kept apart."""
    where = place_words(scene, end.at)
    if end.rule is not None and end.rule.chain == "output-filter":
        target = journey.packet.flow.target
        who = scene.holder(target) or target
        return Trouble(
            where=where,
            why=f"{target} ({who}) has no ready task: {_tasks(scene, target)}",
            should="at least one task that runs and is healthy",
            todo="docker service ps --no-trunc shows why its tasks are not running",
        )
    if end.rule is not None and end.rule.chain == "input":
        return Trouble(
            where=where,
            why=f"tunnel packets from {end.flow.source} are dropped: {words}",
            should=f"{end.flow.source} among the cluster's tunnel addresses (set vteps)",
            todo="docker node ls: only hosts of this swarm may send into its tunnels",
        )
    return Trouble(
        where=where,
        why=f"{end.why}: {words}",
        should="kept apart: containers of docker_gwbridge reach each other by swarm networks "
        "alone, and bridges do not reach one another",
        todo="put both on one network (docker network create -d overlay --attachable)",
    )


def _tasks(scene: Scene, vip: str) -> str:
    for service in scene.survey.services:
        if vip in service.vips.values():
            return tasks_in_words(service)
    return tasks_in_words(None)


def _no_neighbour(scene: Scene, _: Journey, end: Dropped) -> Trouble | None:
    found = re.search(r"for (\S+) on", end.why)
    address = found[1] if found else end.flow.target
    holder = scene.holder(address)
    if not holder or holder.startswith("the VIP"):
        network = scene.network_of(address)
        return Trouble(
            where=place_words(scene, end.at),
            why=f"{end.why}: nobody on network {network} has this address",
            should="an address of a running container",
            todo="docker network inspect -v shows who has which; it may have been "
            "given back when its container ended",
        )
    return Trouble(
        where=place_words(scene, end.at),
        why=f"{end.why}, although {holder} has it",
        should="an entry: this host was not told of it",
        todo="docker node ls: see whether this host hears from its manager; "
        "its assignment may be old",
    )


def _silent(scene: Scene, _: Journey, end: Dropped) -> Trouble | None:
    vtep = end.why.rpartition(" ")[2]
    report = scene.silent.get(vtep)
    if report is None:
        return Trouble(
            where=place_words(scene, end.at),
            why=f"it is sent to {vtep}, and no host of the cluster has that address",
            should="the tunnel address of the host that its container is on",
            todo="docker node ls; docker node inspect HOST",
        )
    return Trouble(
        where=f"host {report.hostname}",
        why=f"{report.hostname} cannot be looked into: {report.silence}; "
        "its half of the path is not known",
        todo=f"on {report.hostname}: see whether skepd runs, then ask again",
        state=UNKNOWN,
    )


def _no_route(scene: Scene, _: Journey, end: Dropped) -> Trouble | None:
    host = scene.hosts.get(end.at.host)
    network = scene.network_of(end.flow.target)
    box = host.sandbox(end.at.namespace) if host else None
    if box is None:
        return None
    own = ", ".join(sorted({e.network_name for e in box.endpoints})) or "no network"
    return Trouble(
        where=place_words(scene, end.at),
        why=f"{end.why}: it is on {own}"
        + (f", {end.flow.target} is on {network}" if network else ", and has no way out"),
        should="on a network that leads there",
        todo="docker network connect, or --network when it is made",
    )


_REASONS = (
    (r"by chain", _by_rule),
    (r"^no neighbour entry", _no_neighbour),
    (r"^no host has the address", _silent),
    (r"^no route to", _no_route),
)
