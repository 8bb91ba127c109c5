"""What is remembered of a container from the moment it is asked for."""

from __future__ import annotations

import time
from typing import Any

from skep.agent.binding import asked_bindings
from skep.agent.records import Record, Wanted

Json = dict[str, Any]


def draft_record(body: Json, mode: str, wanted: tuple[Wanted, ...], image: Json) -> Record:
    """What must be remembered of a create request; ids and name are filled in by the caller."""
    host = body.get("HostConfig") or {}
    exposed = {
        **((image.get("Config") or {}).get("ExposedPorts") or {}),
        **(body.get("ExposedPorts") or {}),
        **(host.get("PortBindings") or {}),
    }
    return Record(
        id="",
        name="",
        image=body.get("Image") or "",
        sandbox_id="",
        network_mode=mode,
        created_at=time.time(),
        hostname=body.get("Hostname") or "",
        wanted=wanted,
        published=asked_bindings(host),
        publish_all=bool(host.get("PublishAllPorts")),
        exposed_ports=tuple(sorted(exposed)),
        labels=dict(body.get("Labels") or {}),
        extra_hosts=tuple(host.get("ExtraHosts") or ()),
        links=tuple(host.get("Links") or ()),
        search=tuple(host.get("DnsSearch") or ()),
        nameservers=tuple(host.get("Dns") or ()),
        dns_options=tuple(host.get("DnsOptions") or ()),
    )
