"""What a host says of itself: name, processors, memory. Read once from the system it runs on."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from types import MappingProxyType

from skep import __version__
from skep.model.cluster import NodeDescription, Platform
from skep.model.errors import Invalid
from skep.model.spec import DiscreteResource, GenericResource, NamedResource

CPU = 1_000_000_000
"""One processor, in the API's billionths."""


NO_LABELS: Mapping[str, str] = MappingProxyType({})


def describe_host(
    generic: tuple[GenericResource, ...] = (), labels: Mapping[str, str] = NO_LABELS
) -> NodeDescription:
    """This host, in the words of ``docker node inspect``; ``generic`` is what its administrator
    says that it has besides, ``labels`` what skepd says of itself."""
    return NodeDescription(
        hostname=socket.gethostname(),
        platform=Platform(architecture=platform.machine(), os="linux"),
        nano_cpus=len(os.sched_getaffinity(0)) * CPU,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        engine_version=__version__,
        generic_resources=generic,
        engine_labels=dict(labels),
    )


def generic_resource(text: str) -> GenericResource:
    """What ``--node-generic-resource`` names: "gpu=2" is a number of units, "gpu=UUID1" a unit by
    name. Raises `Invalid`."""
    kind, separator, value = text.partition("=")
    if not separator or not kind.strip() or not value.strip():
        raise Invalid(f"invalid generic resource {text!r}: it must be KIND=NUMBER or KIND=NAME")
    kind, value = kind.strip(), value.strip()
    if value.isdecimal():
        return GenericResource(discrete_resource_spec=DiscreteResource(kind=kind, value=int(value)))
    return GenericResource(named_resource_spec=NamedResource(kind=kind, value=value))
