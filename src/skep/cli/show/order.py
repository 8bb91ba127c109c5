"""The order of names in listings: numbers within them count as numbers."""

from __future__ import annotations

import re

_PARTS = re.compile(r"\d+|\D")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key to sort names by: web.2 before web.10. Source: sortorder.NaturalLess."""
    return tuple(
        (48, int(part), "") if part.isdigit() else (ord(part), 0, part)
        for part in _PARTS.findall(name)
    )
