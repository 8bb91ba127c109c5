"""What a service refers to by name and the API wants by id: networks, secrets, configs, images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skep.cli.api import Api, Refused, filters, reference
from skep.cli.syntax.images import image_name, with_tag
from skep.model.errors import Invalid

Json = dict[str, Any]
_NOT_RESOLVED = """image {0} could not be accessed on a registry to record
its digest. Each node will access {0} independently,
possibly leading to different nodes running different
versions of the image.
"""


def network_id(api: Api, name: str) -> str:
    """A network's id. Raises `Refused` if there is none of that name."""
    found: str = api.get(f"/networks/{reference(name)}", scope="swarm")["Id"]
    return found


def attachments(api: Api, wanted: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Networks to attach to, with their ids for targets."""
    kept = ("Aliases", "DriverOpts")
    return [
        {"Target": network_id(api, each["Target"])}
        | {member: each[member] for member in kept if member in each}
        for each in wanted
    ]


def payload_references(api: Api, noun: str, wanted: Sequence[Mapping[str, Any]]) -> list[Json]:
    """References to secrets or configs ("Secret", "Config"). Raises `Invalid` for a name that there
    is not, and for two at one target."""
    if not wanted:
        return []
    targets = set()
    for each in wanted:
        if each["Name"] in targets:
            raise Invalid(f"duplicate {noun.lower()} target for {each['Source']} not allowed")
        targets.add(each["Name"])
    names = dict.fromkeys(each["Source"] for each in wanted)
    found = api.get(f"/{noun.lower()}s", **filters({"name": names}))
    ids = {each["Spec"]["Name"]: each["ID"] for each in found}
    for name in names:
        if name not in ids:
            raise Invalid(f"{noun.lower()} not found: {name}")
    return [
        {
            "File": {member: each[member] for member in ("Name", "UID", "GID", "Mode")},
            f"{noun}ID": ids[each["Source"]],
            f"{noun}Name": each["Source"],
        }
        for each in wanted
    ]


def tag_image(spec: Mapping[str, Any]) -> None:
    """Give a service's image the tag that it stands for."""
    container = spec["TaskTemplate"]["ContainerSpec"]
    try:
        name = image_name(container["Image"])
    except Invalid:
        return
    if not name.tag and not name.digest:
        container["Image"] = with_tag(name).familiar


def resolve_image(api: Api, spec: Mapping[str, Any]) -> str:
    """Ask the registry for the image's digest, so that all hosts run the same; a warning if it
    does not answer, else ""."""
    task = spec["TaskTemplate"]
    image = task["ContainerSpec"]["Image"]
    try:
        name = image_name(image)
        found = api.get(f"/distribution/{reference(image)}/json")
    except (Refused, Invalid):
        return _NOT_RESOLVED.format(image)
    digest = (found.get("Descriptor") or {}).get("digest", "")
    if digest and not name.digest:
        task["ContainerSpec"]["Image"] = f"{name.familiar}@{digest}"
    platforms = found.get("Platforms") or ()
    if platforms:
        known = {"architecture": "Architecture", "os": "OS"}
        task.setdefault("Placement", {})["Platforms"] = [
            {known[key]: value for key, value in platform.items() if key in known}
            for platform in platforms
        ]
    return ""


def warn(text: str) -> None:
    """Say it where it does not get into anybody's pipe."""
    if text:
        print(text, file=sys.stderr)


__all__ = ["attachments", "network_id", "payload_references", "resolve_image",
           "tag_image", "warn"]  # fmt: skip
