"""``skep system``, and what has no noun: version, inspect."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from skep import __version__
from skep.cli import acting
from skep.cli.acting import FILTER, INSPECT_FORMAT, wanted
from skep.cli.api import Api, Refused, reference
from skep.cli.command import Call, Command, Failure
from skep.cli.flags import SWITCH, Flag
from skep.cli.show.evaluate import Template
from skep.cli.show.functions import with_instants
from skep.cli.show.info import info_lines, version_lines
from skep.cli.syntax.instants import when
from skep.model.errors import Invalid, Refusal

_NANO = 1_000_000_000


def _template(call: Call) -> Template | None:
    """What ``--format`` asks for; None for the usual form."""
    form = call.options.text("format")
    try:
        return Template("{{json .}}" if form == "json" else form) if form else None
    except Invalid as fault:
        raise Failure(str(fault), acting.TEMPLATE_FAULT) from fault


def _client() -> dict[str, Any]:
    return {
        "Platform": {"Name": "Skep"},
        "Version": __version__,
        "GoVersion": f"none (Python {platform.python_version()})",
        "Os": "linux",
        "Arch": platform.machine(),
        "Context": "default",
    }


def _version(call: Call) -> int:
    template = _template(call)
    try:
        server = call.api.get("/version")
    except Refusal:
        if template is None:
            print("\n".join(_client_version()), flush=True)
        raise
    if template is not None:
        # Go's name of this member is not JSON's, and templates go by Go's.
        known = server | {"APIVersion": server.get("ApiVersion", "")}
        print(template.fill({"Client": _client(), "Server": known}))
    else:
        print("\n".join((*_client_version(), "", *version_lines(server))))
    return 0


def _client_version() -> Iterator[str]:
    yield "Client: Skep"
    yield f" {'Version:':<18}{__version__}"
    yield f" {'Python version:':<18}{platform.python_version()}"
    yield f" {'OS/Arch:':<18}linux/{platform.machine()}"


def _info(call: Call) -> int:
    template = _template(call)
    info = call.api.get("/info")
    if template is not None:
        print(template.fill(info | {"ClientInfo": _client()}))
        return 0
    head = ("Client: Skep", f" Version:    {__version__}", " Debug Mode: false", "")
    print("\n".join((*head, *info_lines(info), "")))
    for warning in info.get("Warnings") or ():
        print(warning, file=sys.stderr)
    return 0


def _events(call: Call) -> int:
    template = _template(call)
    now = time.time()
    query = wanted(call.options)
    for option in ("since", "until"):
        query |= {option: when(call.options.text(option), now)}
    with call.api.stream("GET", "/events", **query) as answer:
        for line in answer:
            if line.strip():
                event = json.loads(line)
                print(template.fill(event) if template else event_line(event), flush=True)
    return 0


def event_line(event: Mapping[str, Any]) -> str:
    """An event on one line."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    nano = event.get("timeNano") or event.get("time", 0) * _NANO
    second = datetime.fromtimestamp(nano // _NANO, UTC).astimezone()
    zone = second.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    stamp = f"{second:%Y-%m-%dT%H:%M:%S}.{nano % _NANO:09d}{zone}"
    line = f"{stamp} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    if attributes:
        shown = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
        line += f" ({shown})"
    return line


Finder = Callable[[Api, str], tuple[str, Any]]


def _at(path: str, **query: str) -> Finder:
    # Of containers, images and volumes Go, too, has times as texts.
    timed = path.split("/")[1] not in ("containers", "images", "volumes")

    def fetch(api: Api, name: str) -> tuple[str, Any]:
        text = api.raw(path.format(reference(name)), **query)
        value = json.loads(text)
        return text, with_instants(value) if timed else value

    return fetch


# In the order in which they are tried; the second part only where this host is a manager.
_EVERYWHERE: dict[str, Finder] = {
    "container": _at("/containers/{}/json"),
    "image": _at("/images/{}/json"),
    "network": _at("/networks/{}"),
    "volume": _at("/volumes/{}"),
}
_ON_MANAGERS: dict[str, Finder] = {
    "service": _at("/services/{}", insertDefaults="true"),
    "task": _at("/tasks/{}"),
    "node": _at("/nodes/{}"),
    "secret": _at("/secrets/{}"),
    "config": _at("/configs/{}"),
    "plugin": _at("/plugins/{}/json"),
}


def _inspect(call: Call) -> int:
    kind = call.options.text("type")
    if kind and kind not in {**_EVERYWHERE, **_ON_MANAGERS}:
        known = ", ".join(f'"{each}"' for each in sorted({**_EVERYWHERE, **_ON_MANAGERS}))
        raise Failure(f'unknown type: "{kind}": must be one of {known}')
    managing: list[bool] = []

    def fetch(name: str) -> tuple[str, Any]:
        for each, find in _finders(call.api, kind, managing):
            try:
                if each == "container" and call.options.switch("size"):
                    return _at("/containers/{}/json", size="1")(call.api, name)
                return find(call.api, name)
            except Refused as refused:
                if kind or not refused.missing:
                    raise
        raise Failure(f"Error: No such object: {name}")

    return acting.inspect(call, fetch)


def _finders(api: Api, kind: str, managing: list[bool]) -> Iterator[tuple[str, Finder]]:
    if kind:
        yield kind, {**_EVERYWHERE, **_ON_MANAGERS}[kind]
        return
    yield from _EVERYWHERE.items()
    if not managing:
        managing.append(bool((api.get("/info").get("Swarm") or {}).get("ControlAvailable")))
    if managing[0]:
        yield from _ON_MANAGERS.items()


_FORMAT = INSPECT_FORMAT
COMMANDS = (
    Command(name="events", usage="[OPTIONS]", run=_events,
            summary="Get real time events from the server", flags=(
                FILTER, Flag("format", 'Format output: "json" or a Go template'),
                Flag("since", "Show all events created since timestamp"),
                Flag("until", "Stream events until this timestamp"))),
    Command(name="info", usage="[OPTIONS]", run=_info, flags=(_FORMAT,),
            summary="Display system-wide information"),
    Command(name="inspect", usage="[OPTIONS] NAME|ID [NAME|ID...]", run=_inspect, least=1,
            most=None, summary="Return low-level information on Docker objects",
            completes="container", flags=(
                _FORMAT, Flag("size", "Display total file sizes of containers", SWITCH, "s"),
                Flag("type", "Only inspect objects of the given type"))),
    Command(name="version", usage="[OPTIONS]", run=_version, flags=(_FORMAT,),
            summary="Show the version information"),
)  # fmt: skip
