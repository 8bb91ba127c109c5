"""How far all hosts together have come: what every one of them has been told and has brought about.

A host that has a task to stop is told, and stops it when nobody sends anything new to it any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection

import msgspec

from skep.model.assignment import Assignment
from skep.model.cluster import TaskState
from skep.model.readings import Versions

NOT_TOLD = sys.maxsize


class Progress(msgspec.Struct):
    """One connected host: the index of the assignment that it was ``told`` last, and the one that
    it says its kernel was brought to. ``stopping``: it has a task to stop."""

    told: int = NOT_TOLD
    applied: int = 0
    stopping: bool = False


class Settling:
    """The progress of all connected hosts, by node id."""

    def __init__(self) -> None:
        self._hosts: dict[str, Progress] = {}

    def connected(self, node_id: str) -> None:
        """A host's session begins; what it applied before does not count."""
        self._hosts[node_id] = Progress()

    def lost(self, node_id: str) -> None:
        """A host's session ended: nobody waits for it."""
        self._hosts.pop(node_id, None)

    def told(self, node_id: str, assignment: Assignment) -> None:
        """A host is about to be sent an assignment."""
        host = self._hosts.get(node_id)
        if host is not None:
            host.told, host.stopping = assignment.index, has_to_stop(assignment)

    def applied(self, node_id: str, index: int) -> bool:
        """A host says how far it has come; whether that is news to anybody."""
        host = self._hosts.get(node_id)
        if host is None or host.applied == index:
            return False
        host.applied = index
        return bool(self.waiting())

    def behind(self) -> dict[str, int]:
        """How many revisions of what it was told each connected host has not applied yet."""
        return {
            node_id: max(each.told - each.applied, 0) for node_id, each in self.versions().items()
        }

    def versions(self) -> dict[str, Versions]:
        """The assignment that each connected host was told last, and the one it has applied."""
        return {
            node_id: Versions(told=host.told if host.told != NOT_TOLD else 0, applied=host.applied)
            for node_id, host in self._hosts.items()
        }

    def waiting(self) -> list[str]:
        """The hosts that have a task to stop."""
        return [node_id for node_id, host in self._hosts.items() if host.stopping]

    def noted(
        self, wanted: Assignment, revision: int, stale: Callable[[], Collection[str]]
    ) -> Assignment:
        """An assignment, with the revision in it that all hosts have come to if its own waits for
        that. ``stale`` names hosts that may have to be told something that they were not yet."""
        settled = self._settled(revision, frozenset(stale())) if has_to_stop(wanted) else 0
        if settled == wanted.settled:
            return wanted
        return msgspec.structs.replace(wanted, settled=settled)

    def _settled(self, revision: int, stale: Collection[str]) -> int:
        """A host that has done all it was told, and has nothing else to be told, is where the
        cluster is."""
        return min(
            (
                revision if host.applied >= host.told and node_id not in stale else host.applied
                for node_id, host in self._hosts.items()
            ),
            default=0,
        )


def has_to_stop(assignment: Assignment) -> bool:
    """Whether a host has a service's task to stop."""
    return any(
        task.service_id and not task.wanted and task.status.state <= TaskState.RUNNING
        for task in assignment.tasks.values()
    )
