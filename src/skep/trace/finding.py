"""What the doctor says. The API sends it as JSON."""

from __future__ import annotations

import msgspec

ERROR, WARNING = "error", "warning"
"""Something does not work; something will not, or works for some only."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: ``what`` and ``where``, why it matters (``why``), and the command or
    act that mends it (``fix``). ``host`` is "" for what concerns the cluster or a pair of hosts.
    ``fixable``: converging now may mend it."""

    severity: str
    check: str
    host: str
    where: str
    what: str
    why: str
    fix: str
    fixable: bool = False


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What gets from ``here`` to ``there``, by what ``here`` saw: ``delay_ms`` is the round trip,
    ``loss`` a share of the last ``probes``. ``mesh``, ``full_size`` (packets as large as the
    underlay's MTU), ``tunnel`` and ``cluster`` are "ok", or what is wrong with it; "-" if nobody
    looked, or there is nothing of the kind to look at."""

    here: str
    there: str
    delay_ms: float = 0.0
    loss: float = 0.0
    probes: int = 0
    mesh: str = "-"
    full_size: str = "-"
    tunnel: str = "-"
    cluster: str = "-"


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """All findings, and what was looked at: a number of ``hosts``, or this one alone (``whole``
    false). ``repaired`` says what ``--fix`` did, a line per host; ``pairs`` is what lies between
    hosts, both ways."""

    findings: tuple[Finding, ...]
    hosts: tuple[str, ...]
    whole: bool
    checks: int = 0
    repaired: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @property
    def code(self) -> int:
        """The exit code: 0 nothing found, 1 warnings, 2 errors."""
        severities = {each.severity for each in self.findings}
        return 2 if ERROR in severities else 1 if severities else 0
