"""What never changes while the daemon runs, and what versions of the API it speaks."""

from __future__ import annotations

import msgspec

LATEST = (1, 50)
"""The newest version of the Engine API that is answered, and the one without a prefix."""

OLDEST = (1, 40)

GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The host and the daemon, for ``docker version`` and ``docker info``.

    ``architecture`` in the kernel's words (x86_64), ``memory_bytes`` and ``cpus`` of the host;
    ``address_pools``, prefixes with the size of subnets, where the host's own bridges are.
    """

    id: str
    hostname: str
    version: str
    architecture: str = "x86_64"
    kernel_version: str = ""
    operating_system: str = "Linux"
    cpus: int = 1
    memory_bytes: int = 0
    root_directory: str = "/var/lib/skep"
    python: str = ""
    address_pools: tuple[tuple[str, int], ...] = ()

    @property
    def go_architecture(self) -> str:
        """The architecture in Go's words (amd64), as clients compare it."""
        return GO_ARCHITECTURES.get(self.architecture, self.architecture)


def dotted(version: tuple[int, int]) -> str:
    """(1, 50) as "1.50"."""
    return f"{version[0]}.{version[1]}"
