"""What a container's interfaces have carried, as its own namespace counts it."""

from __future__ import annotations

from pathlib import Path

COUNTED = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", "",
    "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
)  # fmt: skip
"""The columns of /proc/net/dev by Docker's names, "" for those that it has not. Source: proc(5)."""

LOOPBACK = "lo"


def traffic(pid: int) -> dict[str, dict[str, int]]:
    """Counters by interface of the namespace that a process lives in; none if it has ended."""
    try:
        told = Path(f"/proc/{pid}/net/dev").read_text()
    except OSError:
        return {}
    return parsed(told)


def parsed(told: str) -> dict[str, dict[str, int]]:
    """The text of /proc/net/dev, the loopback left out."""
    found = {}
    for line in told.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != LOOPBACK:
            pairs = zip(COUNTED, numbers.split(), strict=False)
            found[name.strip()] = {key: int(number) for key, number in pairs if key}
    return dict(sorted(found.items()))
