"""From compose files to one configuration, with docker's warnings and refusals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from skep.cli.stack import canonical, yamlfile
from skep.cli.stack.interpolate import Lookup, interpolated
from skep.cli.stack.merge import merged
from skep.cli.stack.schema import minor_version, validate
from skep.cli.syntax.pairs import read_variables
from skep.cli.syntax.textfile import text_of
from skep.model.errors import Invalid

Json = dict[str, Any]
_UNSUPPORTED = [
    "build",
    "cgroupns_mode",
    "cgroup_parent",
    "devices",
    "domainname",
    "external_links",
    "ipc",
    "links",
    "mac_address",
    "network_mode",
    "pid",
    "privileged",
    "restart",
    "security_opt",
    "shm_size",
    "userns_mode",
]
_DEPRECATED = {
    "container_name": "Setting the container name is not supported.",
    "expose": "Exposing ports is unnecessary - services on the same network can access each "
    "other's containers on any port.",
}
_LIMITS = "Set resource limits using deploy.resources"
_FORBIDDEN = {
    "extends": "Support for `extends` is not implemented yet.",
    "volume_driver": "Instead of setting the volume driver on the service, define a volume using "
    "the top-level `volumes` option and specify the driver there.",
    "volumes_from": "To share a volume between services, define it using the top-level `volumes` "
    "option and reference it from each service that shares it using the service-level `volumes` "
    "option.",
    **dict.fromkeys(("cpu_quota", "cpu_shares", "cpuset", "mem_limit", "memswap_limit"), _LIMITS),
}
_NETWORK = ("name", "driver", "driver_opts", "ipam", "external", "internal", "attachable", "labels")
_VOLUME = ("name", "driver", "driver_opts", "external", "labels")
_PAYLOAD = ("name", "file", "external", "labels", "driver", "driver_opts", "template_driver")


class Place(msgspec.Struct, frozen=True):
    """Where files are read: relative paths start at ``folder``; variables are looked up here."""

    folder: Path
    lookup: Lookup


def warn(words: str) -> None:
    """Say something that does not keep the rest from being done."""
    print(f"WARNING: {words}", file=sys.stderr)


def read_files(names: Sequence[str]) -> tuple[list[Json], Place]:
    """The files as they are, and the place of the first. Raises `Invalid`, `OSError`."""
    if not names:
        raise Invalid("Specify a Compose file (with --compose-file)")
    folder = Path.cwd() if names[0] == "-" else Path(names[0]).absolute().parent
    texts = [sys.stdin.read() if name == "-" else text_of(name) for name in names]
    place = Place(Path(os.path.normpath(folder)), os.environ.get)
    return [yamlfile.read(text) for text in texts], place


def configuration(documents: Sequence[Json], place: Place, *, fill: bool = True) -> Json:
    """One configuration of all files; variables stay as they are without ``fill``."""
    versions = [minor_version(document) for document in documents]
    if len(set(versions)) > 1:
        other = next(version for version in versions if version != versions[0])
        raise Invalid(
            f"version mismatched between two composefiles : 3.{versions[0]} and 3.{other}"
        )
    found = []
    for document in documents:
        refuse_forbidden(document)
        filled = interpolated(document, place.lookup) if fill else document
        validate(filled, versions[0])
        found.append(_sections(filled, versions[0], place))
    return {"version": f"3.{versions[0]}"} | merged(found)


def _services(document: Json) -> Iterable[Mapping[str, Any]]:
    services = document.get("services")
    known = services.values() if isinstance(services, dict) else ()
    return [each for each in known if isinstance(each, dict)]


def refuse_forbidden(document: Json) -> None:
    """Raises `Invalid` for members of older versions, and says what to write instead."""
    used = {name for each in _services(document) for name in each if name in _FORBIDDEN}
    if used:
        raise Forbidden({name: _FORBIDDEN[name] for name in used})


class Forbidden(Invalid):
    """A file uses what is not in its version of the format."""

    def __init__(self, used: Mapping[str, str]) -> None:
        super().__init__("Configuration contains forbidden properties")
        self.explained = f"Compose file contains unsupported options:\n\n{_listed(used)}\n"


def _listed(used: Mapping[str, str]) -> str:
    return "\n\n".join(f"{name}: {used[name]}" for name in sorted(used))


def warn_of_ignored(documents: Iterable[Json]) -> None:
    """Say which members are not used, as docker says it."""
    used = {name for document in documents for each in _services(document) for name in each}
    ignored = [name for name in _UNSUPPORTED if name in used]
    if ignored:
        print(f"Ignoring unsupported options: {', '.join(ignored)}\n", file=sys.stderr)
    old = {name: words for name, words in _DEPRECATED.items() if name in used}
    if old:
        print(f"Ignoring deprecated options:\n\n{_listed(old)}\n", file=sys.stderr)


def _sections(document: Json, version: int, place: Place) -> Json:
    services = document.get("services") or {}
    found: Json = {
        "services": {name: _service(services[name] or {}, place) for name in sorted(services)}
    }
    for noun, names, since in (("network", _NETWORK, 5), ("volume", _VOLUME, 4),
                               ("secret", _PAYLOAD, 5), ("config", _PAYLOAD, 5)):  # fmt: skip
        given = document.get(f"{noun}s") or {}
        section = {
            name: canonical.shared(_external(noun, name, given[name], version >= since), *names)
            for name in sorted(given)
        }
        if noun in ("secret", "config"):
            section = {name: _with_path(noun, name, each, place) for name, each in section.items()}
        if section:
            found[f"{noun}s"] = section
    return found | canonical.extensions(document)


def _service(found: Json, place: Place) -> Json:
    service = canonical.service(found, warn)
    variables = _environment(service, place)
    if variables:
        service["environment"] = variables
    for mount in service.get("volumes", ()):
        if mount["type"] == "bind":
            mount["source"] = _bind_source(mount.get("source", ""), place)
    return {name: service[name] for name in _in_order(service)}


def _in_order(service: Json) -> list[str]:
    """The environment may have come last; it belongs where docker has it."""
    order = canonical.SERVICE_ORDER
    return sorted(service, key=lambda name: (order.get(name, len(order)), name))


def _environment(service: Json, place: Place) -> Json:
    """Variables of files and of the service itself; empty ones take their value from here."""
    found: dict[str, str | None] = {}
    given: list[dict[str, str | None]] = []
    for name in service.get("env_file", ()):
        words = read_variables(str(place.folder / name), place.lookup)
        given.append({key: value for key, _, value in (word.partition("=") for word in words)})
    given.append(service.get("environment") or {})
    for variables in given:
        for key, value in variables.items():
            found[key] = value if value else _known(place.lookup(key), value)
    return {key: found[key] for key in sorted(found)}


def _known(here: str | None, given: str | None) -> str | None:
    return given if here is None else here


def _bind_source(source: str, place: Place) -> str:
    if not source:
        raise Invalid('invalid mount config for type "bind": field Source must not be empty')
    home = place.lookup("HOME")
    if source.startswith("~") and home:
        source = source.replace("~", home, 1)
    return source if source.startswith("/") else os.path.normpath(place.folder / source)


def _external(noun: str, name: str, found: Json | None, named_itself: bool) -> Json:
    """With ``external`` as a switch, and the name that it had inside as the object's own."""
    each = dict(found or {})
    outer = each.get("external")
    if not outer and not isinstance(outer, dict):
        return each
    if noun == "volume":
        for member in ("driver", "driver_opts", "labels"):
            if each.get(member):
                raise Invalid('conflicting parameters "external" and '
                              f'"{member}" specified for volume "{name}"')  # fmt: skip
    inner = outer.get("name") if isinstance(outer, dict) else ""
    if inner:
        if each.get("name"):
            raise Invalid(f"{noun} {name}: {noun}.external.name and {noun}.name conflict; only use "
                          f"{noun}.name")  # fmt: skip
        if named_itself:
            warn(f"{noun} {name}: {noun}.external.name is deprecated in favor of {noun}.name")
    return each | {"external": True, "name": inner or each.get("name") or name}


def _with_path(noun: str, name: str, each: Json, place: Place) -> Json:
    if each.get("external"):
        return each
    if each.get("driver"):
        if each.get("file"):
            raise Invalid(f"{noun} {name}: {noun}.driver and {noun}.file conflict; only use "
                          f"{noun}.driver")  # fmt: skip
        return each
    path = os.path.normpath(place.folder / each.get("file", ""))
    return canonical.ordered(each | {"file": path}, *_PAYLOAD) | canonical.extensions(each)
