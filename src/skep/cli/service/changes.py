"""How the collections in a service's spec change: what there is, what is added, what is removed.

Each function is pure: (now, added, removed) -> then. On creation there is nothing now and nothing
is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from skep.cli.syntax.attachments import generic_resources, swarm_host
from skep.cli.syntax.pairs import deduplicated
from skep.model.errors import Invalid

Change = Callable[[Any, Sequence[Any], Sequence[Any]], Any]
Json = dict[str, Any]


def pairs(now: Json | None, added: Sequence[str], removed: Sequence[str]) -> Json:
    """Labels and kernel parameters, by key."""
    then = dict(now or {})
    for word in added:
        key, _, value = word.partition("=")
        then[key] = value
    return {key: value for key, value in then.items() if key not in removed}


def variables(now: Sequence[str] | None, added: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Environment variables, by name."""
    then = {word.partition("=")[0]: word for word in (*(now or ()), *deduplicated(added))}
    return [word for name, word in then.items() if name not in removed]


def words(now: Sequence[str] | None, added: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Plain words, as a set; in the order given until something changes them."""
    then = list(dict.fromkeys((*(now or ()), *added)))
    kept = [word for word in then if word not in removed]
    return kept if now is None else sorted(kept)


def hosts(now: Sequence[str] | None, added: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Extra hosts: ``address name`` in the spec, ``name:address`` or ``name`` to remove."""
    kept = [entry for entry in now or () if not _names_host(entry, removed)]
    then = list(dict.fromkeys((*kept, *map(swarm_host, added))))
    return then if now is None else sorted(then)


def _names_host(entry: str, removed: Iterable[str]) -> bool:
    address, *names = entry.split()
    for word in removed:
        name, given, wanted = word.partition(":")
        if name in names and (not given or wanted == address):
            return True
    return False


def mounts(now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[str]) -> list[Json]:
    """Mounts, by target."""
    targets = [each.get("Target") for each in added]
    if now is not None and len(targets) != len(set(targets)):
        raise Invalid("duplicate mount target")
    if now is None:
        return list(added)
    then = {each["Target"]: each for each in (*now, *added)}
    kept = [each for target, each in then.items() if target not in removed]
    return sorted(kept, key=lambda each: (each.get("Source", ""), each["Target"]))


def ports(now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[Json]) -> list[Json]:
    """Published ports; a target port, its protocol and mode say which one to remove."""
    gone = [_target(each) for each in removed]
    kept = [each for each in now or () if _target(each) not in gone]
    known = [_whole(each) for each in now or ()]
    then = kept + [each for each in added if _whole(each) not in known]
    unique = {_whole(each): each for each in then}
    return [unique[key] for key in sorted(unique)]


def _target(port: Json) -> tuple[Any, ...]:
    return (port.get("TargetPort", 0), port.get("Protocol") or "tcp",
            port.get("PublishMode") or "ingress")  # fmt: skip


def _whole(port: Json) -> tuple[Any, ...]:
    return (str(port.get("PublishedPort", 0)), *map(str, _target(port)))


def preferences(
    now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[Json]
) -> list[Json]:
    """Placement preferences, whose order counts."""
    return [each for each in now or () if each not in removed] + list(added)


def ulimits(
    now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[str]
) -> list[Json]:
    """Limits of processes, by name."""
    then = {each["Name"]: each for each in (*(now or ()), *added)}
    return [then[name] for name in sorted(then) if name not in removed]


def resources(
    now: Sequence[Json] | None, added: Sequence[str], removed: Sequence[str]
) -> list[Json]:
    """User-defined resources, by kind. Raises `Invalid` for a kind to remove that is not there."""
    then = {each["DiscreteResourceSpec"]["Kind"]: each for each in now or ()}
    for kind in removed:
        if kind not in then:
            raise Invalid(f"could not find generic-resource `{kind}` to remove it")
        del then[kind]
    then |= {each["DiscreteResourceSpec"]["Kind"]: each for each in generic_resources(added)}
    return list(then.values())


def payloads(
    now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[str]
) -> list[Json]:
    """References to secrets or configs, already with ids; removed by name."""
    gone = set(removed)
    kept = [each for each in now or ()
            if (each.get("SecretName") or each.get("ConfigName")) not in gone]  # fmt: skip
    return kept + list(added)


def networks(
    now: Sequence[Json] | None, added: Sequence[Json], removed: Sequence[str]
) -> list[Json]:
    """Networks, already by id; in the order of their ids."""
    kept = [each for each in now or () if each["Target"] not in removed]
    return sorted((*kept, *added), key=lambda each: str(each["Target"]))


def capabilities(
    now: tuple[Iterable[str], Iterable[str]], added: set[str], dropped: set[str]
) -> tuple[list[str], list[str]]:
    """Capabilities to add and to drop after an update; names in full. Source: docker/cli."""
    adds, drops = set(now[0]), set(now[1])
    if "RESET" in added:
        adds = set()
    if "RESET" in dropped:
        drops = set()
    added, dropped = added - {"RESET"}, dropped - {"RESET"}
    for name in dropped - added:
        # Taking back what was added is all there is to do, unless it is there twice.
        if name in adds:
            adds.discard(name)
        else:
            drops.add(name)
    for name in added:
        if name in drops:
            drops.discard(name)
        else:
            adds.add(name)
    return _listed(adds), _listed(drops)


def _listed(names: set[str]) -> list[str]:
    return ["ALL"] if "ALL" in names else sorted(names)
