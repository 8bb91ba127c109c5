"""The body of ``POST /containers/create``, from the flags of ``run`` and ``create``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from skep.cli import acting
from skep.cli.command import Failure
from skep.cli.container.flags import PLACES
from skep.cli.container.networks import networking
from skep.cli.flags import Options
from skep.cli.syntax.attachments import capabilities, restart_policy
from skep.cli.syntax.devices import device
from skep.cli.syntax.mounts import volume
from skep.cli.syntax.pairs import read_variables, read_words, resolved
from skep.cli.syntax.ports import container_ports, port_range
from skep.cli.syntax.textfile import text_of
from skep.model.errors import Invalid

Json = dict[str, Any]
# What docker's client says even if nobody asked for it.
_DEFAULTS = {
    "MemorySwappiness": -1,
    "OomKillDisable": False,
    "PidsLimit": 0,
    "ConsoleSize": [0, 0],
}
_STREAMS = ("stdin", "stdout", "stderr")
_HEALTH = ("health-cmd", "health-interval", "health-retries", "health-timeout",
           "health-start-period", "health-start-interval")  # fmt: skip


def create_body(arguments: Sequence[str], options: Options) -> Json:
    """The body. Raises `Invalid` for what contradicts itself."""
    image, *command = arguments
    body: Json = {"Image": image, "HostConfig": dict(_DEFAULTS)}
    for place in PLACES:
        if options.has(place.flag.name):
            _put(body, place.path, options.get(place.flag.name), pairs=place.flag.kind.word)
    body |= {
        "Cmd": command,
        "Env": _environment(options),
        "Labels": _labels(options),
        **_streams(options),
    }
    if options.has("entrypoint"):
        body["Entrypoint"] = [options.text("entrypoint")]
    health = _health(options)
    if health:
        body["Healthcheck"] = health
    body["HostConfig"] |= _host(options)
    _put_volumes(body, options.all("volume"))
    _put_ports(body, options)
    body["NetworkingConfig"], body["HostConfig"]["NetworkMode"] = networking(options)
    _check(options, body)
    return body


def _put(body: Json, path: Sequence[str], value: Any, *, pairs: str) -> None:
    *front, last = path
    for name in front:
        body = body.setdefault(name, {})
    is_map = isinstance(value, list) and value and isinstance(value[0], tuple)
    body[last] = dict(value) if is_map or pairs == "map" else value


def _environment(options: Options) -> list[str]:
    files = [word for path in options.all("env-file")
             for word in read_variables(path, os.environ.get)]  # fmt: skip
    return [*files, *resolved(options.all("env"), os.environ.get)]


def _labels(options: Options) -> dict[str, str]:
    files = [word for path in options.all("label-file") for word in read_words(path)]
    return acting.labels((*files, *options.all("label")))


def _streams(options: Options) -> Json:
    """Which streams are attached: those asked for, or all that there are."""
    wanted = [word.lower() for word in options.all("attach")]
    for word in wanted:
        if word not in _STREAMS:
            raise Invalid(f'invalid argument "{word}" for "-a, --attach" flag: valid streams are '
                          "STDIN, STDOUT and STDERR")  # fmt: skip
    if options.switch("detach"):
        if wanted:
            raise Failure("conflicting options: cannot specify both --attach and --detach")
        return {}
    opened = options.switch("interactive")
    chosen = wanted or ["stdout", "stderr", *(["stdin"] if opened else [])]
    found: Json = {f"Attach{word.capitalize()}": word in chosen for word in _STREAMS}
    return found | {"StdinOnce": opened and found["AttachStdin"]}


def _health(options: Options) -> Json:
    given = [name for name in _HEALTH if options.get(name)]
    if options.switch("no-healthcheck"):
        if given:
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for name in ("interval", "timeout", "start-period", "start-interval"):
        if options.get(f"health-{name}", 0) < 0:
            raise Invalid(f"--health-{name} cannot be negative")
    if options.get("health-retries", 0) < 0:
        raise Invalid("--health-retries cannot be negative")
    if not given:
        return {}
    command = options.text("health-cmd")
    return {
        "Test": ["CMD-SHELL", command] if command else None,
        "Interval": options.get("health-interval", 0),
        "Timeout": options.get("health-timeout", 0),
        "Retries": options.get("health-retries", 0),
        "StartPeriod": options.get("health-start-period", 0),
        "StartInterval": options.get("health-start-interval", 0),
    }


def _host(options: Options) -> Json:
    """What else the host does for the container."""
    added, dropped = capabilities(options.all("cap-add"), options.all("cap-drop"))
    security = [_security(word) for word in options.all("security-opt")]
    found: Json = {
        "CapAdd": added,
        "CapDrop": dropped,
        "RestartPolicy": restart_policy(options.text("restart", "no")),
        "SecurityOpt": [word for word in security if word != _ALL_PATHS],
        "Devices": [device(word) for word in options.all("device")],
        "DeviceRequests": options.all("gpus"),
        "ExtraHosts": options.all("add-host"),
        "Links": options.all("link"),
        "Tmpfs": dict(word.partition(":")[::2] for word in options.all("tmpfs")),
        "LogConfig": {
            "Type": options.text("log-driver"),
            "Config": acting.labels(options.all("log-opt")),
        },
    }
    if options.text("log-driver") == "none" and options.all("log-opt"):
        raise Invalid("invalid logging opts for driver none")
    if _ALL_PATHS in security:
        found |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return found


_ALL_PATHS = "systempaths=unconfined"


def _security(word: str) -> str:
    """A security option; a seccomp profile is read from its file."""
    key, given, value = word.partition("=")
    if not given and key != "no-new-privileges":
        key, given, value = word.partition(":")
    if not given and key != "no-new-privileges":
        raise Invalid(f'Invalid --security-opt: "{word}"')
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return word
    try:
        profile = json.loads(text_of(value))
    except ValueError as error:
        raise Invalid(f"compacting json for seccomp profile ({value}) failed: {error}") from error
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise Invalid(
            f"opening seccomp profile ({value}) failed: open {value}: {reason}"
        ) from error
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"


def _put_volumes(body: Json, words: Sequence[str]) -> None:
    for word in words:
        found = volume(word)
        if not found.source:
            body.setdefault("Volumes", {})[word] = {}
            continue
        source, _, rest = word.partition(":")
        if found.kind == "bind" and source.startswith("."):
            source = os.path.abspath(source)
        body["HostConfig"].setdefault("Binds", []).append(f"{source}:{rest}")


def _put_ports(body: Json, options: Options) -> None:
    exposed: Json = {}
    bindings: dict[str, list[Json]] = {}
    for binding in container_ports(options.all("publish")):
        name = f"{binding.port}/{binding.protocol}"
        exposed[name] = {}
        entry = {"HostIp": binding.address, "HostPort": binding.host_port}
        bindings.setdefault(name, []).append(entry)
    for word in options.all("expose"):
        exposed |= {port: {} for port in _exposed(word)}
    body["ExposedPorts"] = exposed
    body["HostConfig"]["PortBindings"] = bindings


def _exposed(word: str) -> list[str]:
    if ":" in word:
        raise Invalid(f"invalid port format for --expose: {word}")
    span, _, protocol = word.partition("/")
    try:
        start, end = port_range(span)
    except Invalid as reason:
        raise Invalid(f"invalid range format for --expose: {reason}") from reason
    return [f"{port}/{protocol or 'tcp'}" for port in range(start, end + 1)]


def _check(options: Options, body: Mapping[str, Any]) -> None:
    """Raises `Invalid` for options that exclude each other, or that Skep has not."""
    if options.get("disable-content-trust", True) is False:
        raise Invalid("signed images are not checked by skep: --disable-content-trust=false")
    host = body["HostConfig"]
    swappiness = host["MemorySwappiness"]
    if not -1 <= swappiness <= 100:
        raise Invalid(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    restarts = host["RestartPolicy"].get("Name", "no") not in ("no", "")
    if options.switch("rm") and restarts:
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
