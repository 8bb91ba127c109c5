"""Refusals that come again and again, told once."""

from __future__ import annotations

from skep.model.errors import Refusal


class News:
    """What the log has been told of each thing. The same refusal of the same thing is no news,
    until the thing is well again or says something else."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def has(self, thing: str, refusal: Refusal) -> bool:
        """Whether a refusal is news, which it is not the next time."""
        told, self._told[thing] = self._told.get(thing), str(refusal)
        return told != str(refusal)

    def well(self, thing: str) -> None:
        """Nothing refuses a thing any more, or it is gone."""
        self._told.pop(thing, None)
