"""What a host says of itself: name, processors, memory. Read once from the system it runs on."""

from __future__ import annotations

import os
import platform
import socket

from skep import __version__
from skep.model.cluster import NodeDescription, Platform

CPU = 1_000_000_000
"""One processor, in the API's billionths."""


def describe_host() -> NodeDescription:
    """This host, in the words of ``docker node inspect``."""
    return NodeDescription(
        hostname=socket.gethostname(),
        platform=Platform(architecture=platform.machine(), os="linux"),
        nano_cpus=len(os.sched_getaffinity(0)) * CPU,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        engine_version=__version__,
    )
