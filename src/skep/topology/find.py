"""Finding things by what a user types: words that must all fit.

A word is a piece of a name, id, address, image or label; or, with what it is of, ``host:``,
``net:``, ``service:`` or ``state:`` and a piece of that. The page finds in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping

from skep.topology.graph import Thing

KEYS = ("host", "net", "service", "state")


def fits(thing: Thing, text: str, things: Mapping[str, Thing]) -> bool:
    """Whether all words of ``text`` fit a thing; without words, everything does."""
    return all(_fits(thing, word, things) for word in text.lower().split())


def _fits(thing: Thing, word: str, things: Mapping[str, Thing]) -> bool:
    key, colon, rest = word.partition(":")
    if not colon or key not in KEYS:
        return any(word in each.lower() for each in _words(thing, things))
    match key:
        case "state":
            said = [thing.state]
        case "host":
            said = _names((thing.parent, *((thing.id,) if thing.kind == "host" else ())), things)
        case "net":
            said = _names((*thing.networks, thing.id), things, "network")
        case _:
            said = _names((thing.service, thing.id), things, "service")
    return any(rest in each.lower() for each in said)


def _names(ids: tuple[str, ...], things: Mapping[str, Thing], kind: str = "") -> list[str]:
    found = (things[id] for id in ids if id in things)
    return [each.name for each in found if not kind or each.kind == kind]


def _words(thing: Thing, things: Mapping[str, Thing]) -> list[str]:
    return [
        thing.name,
        thing.namespace,
        thing.id.partition(":")[2],
        *thing.facts.values(),
        *(each.address for each in thing.parts),
        *_names((thing.service, *thing.networks), things),
    ]
