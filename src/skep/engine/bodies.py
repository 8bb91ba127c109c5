"""Bodies of ``POST /containers/create``, made fit for an engine that must not touch networks.

Pure. Sources: the Engine API's ContainerConfig and HostConfig; what Podman makes of them is in
docs/design/engine.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

STOP_TIMEOUT = 10
"""Docker's seconds between stop signal and kill. Podman takes none at all for a missing value."""

NETWORKING = ("PortBindings", "PublishAllPorts", "Links")
"""Members of HostConfig that ask for what Skep does itself."""

SANDBOXED = ("Dns", "DnsOptions", "DnsSearch", "ExtraHosts")
"""Members of HostConfig that are nothing to a container with a ready namespace and own files."""


def without_networking(body: Json, ulimits: Mapping[str, int]) -> Json:
    """The body without what the engine must not do, and with Docker's defaults that it lacks.

    A user who names one limit means that one: the others are ``ulimits``, as without any named.

    Its ``NetworkMode`` must be ``ns:PATH``, ``container:ID``, ``host`` or ``none``.
    """
    host = dict(body.get("HostConfig") or {})
    mode = host.get("NetworkMode") or ""
    assert mode in ("host", "none") or mode.startswith(("ns:", "container:")), (
        f"the engine was asked to make a network: {mode or 'no NetworkMode'}"
    )
    dropped = NETWORKING + (SANDBOXED if mode.startswith("ns:") else ())
    if host.get("Ulimits"):
        host["Ulimits"] = [*host["Ulimits"], *_unnamed(host["Ulimits"], ulimits)]
    return {
        **{key: value for key, value in body.items() if key not in ("NetworkingConfig",
           "ExposedPorts", "MacAddress")},
        "StopTimeout": STOP_TIMEOUT if body.get("StopTimeout") is None else body["StopTimeout"],
        "HostConfig": {key: value for key, value in host.items() if key not in dropped},
    }  # fmt: skip


def _unnamed(named: Iterable[Json], ulimits: Mapping[str, int]) -> list[Json]:
    """Podman raises what is not named to the machine's most, which we may not be allowed to."""
    names = {limit.get("Name") for limit in named}
    return [
        {"Name": name, "Soft": most, "Hard": most}
        for name, most in ulimits.items()
        if name not in names
    ]
