"""Whether hosts reach each other on encrypted networks."""

from __future__ import annotations

from collections.abc import Iterator

from skep.trace.finding import ERROR, Finding
from skep.trace.scene import Scene


def unproven(scene: Scene) -> Iterator[Finding]:
    """Peers that do not answer through WireGuard: what is sent to them on encrypted networks is
    lost, never sent in the clear."""
    for host in scene.hosts.values():
        for pair in host.inspection.encryption:
            if pair.encrypted:
                continue
            key = next((key for key in host.view.keys if key.generation == pair.generation), None)
            port = f"UDP port {key.port}" if key else "the UDP ports 51830 to 51929"
            yield Finding(
                severity=ERROR,
                check="encryption",
                host=host.name,
                where=f"encrypted tunnel to {pair.hostname}",
                what=pair.why,
                why=f"on encrypted networks nothing passes between {host.name} and {pair.hostname}",
                fix=f"let {port} pass between the hosts; on both: ip netns exec skep-secure wg",
            )
