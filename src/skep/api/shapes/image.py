"""Images: the engine's answers with the names that users gave them."""

from __future__ import annotations

from typing import Any

from skep.api.ports import Event
from skep.api.shapes.base import Json
from skep.api.shapes.container import digest
from skep.engine.reference import familiar

NAMES = ("RepoTags", "RepoDigests", "Tags")
IDENTIFIERS = ("Id", "ParentId", "Parent")


def image(engine: Json) -> Json:
    """One image, of a list or inspected, or one of its layers in a history."""
    shown = {**engine}
    for member in NAMES:
        if member in shown:
            shown[member] = [familiar(name) for name in shown[member] or []]
    for member in IDENTIFIERS:
        if shown.get(member) and shown[member] != "<missing>":
            shown[member] = digest(shown[member])
    return shown


def images(engine: Any) -> list[Json]:
    """A list of images."""
    return [image(item) for item in engine or []]


def used(listed: Any, usage: Any) -> tuple[list[Json], int]:
    """The images of ``system df`` and the bytes that all of them take.

    ``usage`` (the engine's own ``system df``) has tags without names and no sum. A layer that an
    image shares with another one of the list, its parent, is counted once.
    """
    shared = {digest(item["Id"]): item for item in usage or []}
    shown = images(listed)
    sizes = {item["Id"]: item.get("Size", 0) for item in shown}
    for item in shown:
        known = shared.get(item["Id"], {})
        item["SharedSize"] = known.get("SharedSize", 0)
        item["Containers"] = known.get("Containers", 0)
    total = sum(item.get("Size", 0) - sizes.get(item.get("ParentId", ""), 0) for item in shown)
    return shown, total


def removed(engine: Any) -> list[Json]:
    """The answer to a removal: what was untagged, what was deleted."""
    shown = []
    for item in engine or []:
        if item.get("Untagged"):
            shown.append({"Untagged": familiar(item["Untagged"])})
        if item.get("Deleted"):
            shown.append({"Deleted": digest(item["Deleted"])})
    return shown


def pruned(engine: Any) -> Json:
    """The answer to ``POST /images/prune``."""
    found = engine or {}
    return {
        "ImagesDeleted": removed(found.get("ImagesDeleted")),
        "SpaceReclaimed": found.get("SpaceReclaimed") or 0,
    }


def happened(action: str, id: str, name: str, now: float) -> Event:
    """An image's event: pull, delete."""
    attributes = {"name": name} if name else {}
    return Event(kind="image", action=action, id=id, attributes=attributes, time=now)


def progress(line: Json) -> Json:
    """One line of what load, import and pull tell: image names as users know them."""
    shown = {**line}
    if shown.get("status") and shown["status"] == shown.get("id"):
        del shown["id"]  # an import says its image's id twice
    for member in ("stream", "status"):
        if isinstance(shown.get(member), str):
            shown[member] = _familiar_words(shown[member])
    if shown.get("stream"):
        shown["stream"] = shown["stream"].rstrip("\n") + "\n"
    return shown


def _familiar_words(sentence: str) -> str:
    return " ".join(familiar(word) for word in sentence.split(" "))
