"""``skep rotate-keys``: new keys for the tunnels of encrypted networks, now."""

from __future__ import annotations

from collections.abc import Sequence

from skep.cli.api import Api
from skep.cli.parser import Parser

_DESCRIPTION = """\
Have every host make a new key for its encrypted tunnels. It happens by itself every twelve hours.
The old keys carry on until the new ones are proven, so nothing is lost. Ask a manager."""


def run(arguments: Sequence[str]) -> int:
    """Rotate; the exit code."""
    Parser(prog="skep rotate-keys", description=_DESCRIPTION).parse_args(arguments)
    generation = Api().post("/skep/rotate-keys")["generation"]
    print(f"The tunnels' keys are of generation {generation} now; hosts change to them at once.")
    return 0
