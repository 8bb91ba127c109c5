"""``skep config``."""

from __future__ import annotations

from skep.cli.verbs.payloads import Payload

COMMANDS = Payload("config", False).commands()
