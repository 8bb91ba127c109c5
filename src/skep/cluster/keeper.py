"""A manager's mind between two commits: the state, what to look at in it, and when.

Pure: the loop around it reads the store and the clock, commits what is decided here, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from skep.cluster.agenda import Agenda, Dues
from skep.cluster.change import KINDS, Change
from skep.cluster.context import Context
from skep.cluster.dirty import Attention
from skep.cluster.reconcile import settle
from skep.cluster.state import Draft, Edit, State


class Keeper:
    """The state as far as it was committed, and what is still to be decided about it."""

    def __init__(self) -> None:
        self.state = State()
        self._attention = Attention()
        self._agenda = Agenda()

    @property
    def due(self) -> float | None:
        """The instant of the next decision, 0.0 for now, None if nothing is to be decided."""
        return 0.0 if self._attention else self._agenda.next

    def settle(self, context: Context) -> tuple[Draft, Dues]:
        """Decide what follows from all that changed and all that is due.

        Nothing is forgotten before `take` is told that it was committed.
        """
        attention = self._attention.copy()
        for kind, id in self._agenda.due(context.now):
            (attention.tasks if kind == "tasks" else attention.services)[id] = None
        draft = Draft(self.state)
        return draft, settle(draft, context, attention)

    def settled(self, dues: Dues) -> None:
        """What `settle` decided was committed, and taken over if it changed something."""
        self._attention = Attention()
        self._agenda.update(dues)

    def take(self, changes: Iterable[Change], revision: int) -> None:
        """Take over what was committed."""
        changes = tuple(changes)
        self._attention.note(edits(changes, self.state), self.state)
        self.state.apply(changes, revision)

    def adopt(self, state: State) -> None:
        """Take over what the store says, whatever was believed before."""
        if changes := changes_between(self.state, state):
            self._attention.note(edits(changes, self.state), self.state)
        self.state = state


def edits(changes: Iterable[Change], before: State) -> list[Edit]:
    """The changes with the objects as they were."""
    return [
        Edit(change.kind, change.id, before.records(change.kind).get(change.id), change.record)
        for change in changes
    ]


def changes_between(old: State, new: State) -> tuple[Change, ...]:
    """What must have been committed since ``old`` to come to ``new``."""
    found = []
    for kind in KINDS:
        was, now = old.records(kind), new.records(kind)
        for id in [*was, *(id for id in now if id not in was)]:
            before, after = was.get(id), now.get(id)
            if before != after:
                found.append(Change(kind, id, after, before.version if before else 0))
    return tuple(found)
