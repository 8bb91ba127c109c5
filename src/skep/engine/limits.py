"""This process's own limits: those of containers cannot be above them."""

from __future__ import annotations

import resource

from skep.engine.settings import Limits


def own_limits() -> Limits:
    """The hard limits that this process has."""

    def hard(which: int) -> int | None:
        found = resource.getrlimit(which)[1]
        return None if found == resource.RLIM_INFINITY else found

    return Limits(files=hard(resource.RLIMIT_NOFILE), processes=hard(resource.RLIMIT_NPROC))
