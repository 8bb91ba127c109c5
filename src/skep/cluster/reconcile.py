"""All that follows from the cluster's state without anybody asking, decided in one draft."""

from __future__ import annotations

from skep.cluster.allocate import allocate
from skep.cluster.context import Context
from skep.cluster.orchestrate import orchestrate
from skep.cluster.schedule import schedule
from skep.cluster.state import Draft

ROUNDS = 20
"""More rounds than any state needs: one settles it, one more sees that it is settled, and what an
update or a removal frees can take a few."""


def reconcile(draft: Draft, context: Context) -> float | None:
    """Bring the draft to rest: doing it again at the same instant would change nothing.

    Answers the instant (Unix seconds) at which something will be due, such as a restart's delay;
    None if nothing will unless the state changes.
    """
    for _ in range(ROUNDS):
        before = draft.edits
        wake = orchestrate(draft, context)
        allocate(draft, context)
        schedule(draft, context)
        if draft.edits == before:
            return wake
    raise AssertionError("reconciling does not come to rest")
