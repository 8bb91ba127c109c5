"""How large a packet gets to a peer, where the largest do not: asked with sweeps of many sizes.

A path that is narrower than the links at its ends loses what is larger, often without a word. When
packets of full size keep getting lost, and small ones do not, packets of several sizes are sent at
once, and the next sweep looks closer at where the last one ended. Packets of full size are part of
each sweep: a path that is as wide again is found so at once.
"""

from __future__ import annotations

LEAST, LEAST6 = 576, 1280
"""The smallest packets that are tried: every path has to carry them (RFC 791, RFC 8200)."""
SUSPICIOUS = 2
"""Packets of full size that are lost in a row before others are tried."""
CERTAIN = 2
"""Sweeps in a row in which what used to pass did not, before it is believed."""
COARSE, FINE = 8, 6
"""Sizes of a sweep: over everything, and between what passed last and what did not."""
GRAIN = 4
"""Sizes that are tried are multiples of this, or of another grain that is given (WireGuard's).
Never two of one size, nor a smaller one behind a larger one: wireguard-go would send them as one,
which virtual links carry whatever their MTU."""


class PathSize:
    """What sizes pass to one peer. ``found`` is what passed when it was last known, 0 for all."""

    def __init__(self, found: int = 0) -> None:
        self._found = found
        self._above = 0
        self._lost = SUSPICIOUS if found else 0
        self._missed = 0
        self._full = 0
        self._asked: dict[int, int] = {}
        self._back: set[int] = set()
        self.known = found
        """The largest size that passes (bytes); 0 if all do, or it is not known yet."""

    def _begin(self, full: int) -> None:
        """The links take something else now: what is larger than that was found on other ones."""
        self._full, self._above, self._missed = full, 0, 0
        if self._found >= full:
            self._found = self._lost = self.known = 0

    @property
    def suspicious(self) -> bool:
        """Whether packets of full size are getting lost."""
        return self._lost > 0

    def sent(self, sequence: int, size: int) -> None:
        """A packet is under way."""
        self._asked[sequence] = size

    def answered(self, sequence: int) -> None:
        """It got there."""
        if sequence in self._asked:
            self._back.add(self._asked[sequence])

    def sizes(self, full: int, least: int, grain: int = GRAIN) -> list[int]:
        """What to send now, the smallest first, when all that was sent before has had its time:
        ``full`` is what the links take; others are multiples of ``grain``."""
        if full != self._full:
            self._begin(full)
        else:
            self._judge(grain)
        self._asked, self._back = {}, set()
        if self._lost < SUSPICIOUS:
            return [full]
        return sorted({full, *(size - size % grain for size in self._sweep(least))})

    def _sweep(self, least: int) -> set[int]:
        full, found, above = self._full, self._found, self._above or self._full
        sizes = {least + step * (full - least) // COARSE for step in range(COARSE)}
        if found:
            sizes |= {found + step * (above - found) // (FINE + 1) for step in range(FINE + 1)}
        return {size for size in sizes if least <= size < full}

    def _judge(self, grain: int) -> None:
        """Learn from the last sweep. One of which nothing came back says nothing of sizes."""
        if not self._asked:
            return
        if self._full in self._back:
            self._found = self._above = self._lost = self._missed = self.known = 0
            return
        self._lost += 1
        if not self._back:
            return
        best = max(self._back)
        self._missed = self._missed + 1 if best < self._found else 0
        if best > self._found or self._missed >= CERTAIN:
            self._found, self._missed = best, 0
        lost = set(self._asked.values()) - self._back
        self._above = min((size for size in lost if size > self._found), default=self._full)
        if self._above - self._found <= grain:
            self.known = self._found
