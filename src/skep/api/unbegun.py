"""Why containers could not be begun to attach to them, told to the start that follows; and which
execs could not."""

from __future__ import annotations

from collections import OrderedDict

from aiohttp import web

from skep.model.errors import Refusal

KEPT = 100


class Unbegun:
    """The last of them, each told once."""

    def __init__(self) -> None:
        self._why: OrderedDict[str, Refusal] = OrderedDict()

    def remember(self, container: str, why: Refusal) -> None:
        """A container, by its full id, cannot be begun."""
        self._why[container] = why
        if len(self._why) > KEPT:
            self._why.popitem(last=False)

    def knows(self, what: str) -> bool:
        """Whether it is known that this container or exec cannot be begun."""
        return what in self._why

    def check(self, container: str) -> None:
        """Raises why that container cannot be begun, if it is known."""
        why = self._why.pop(container, None)
        if why is not None:
            raise why


UNBEGUN: web.AppKey[Unbegun] = web.AppKey("unbegun", Unbegun)
