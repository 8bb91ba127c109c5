"""``skep net``: networks, and with ``ls --tree`` all that is on them."""

from __future__ import annotations

from skep.cli.top import run_net as run

__all__ = ["run"]
