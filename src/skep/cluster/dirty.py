"""What a change concerns: the tasks and services to look at again because of it.

This is what makes the cost of a change grow with the change. Whatever a decision reads is named
here: when that changes, the decision is taken anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from skep.cluster.index import SERVICES_EVERYWHERE
from skep.cluster.loads import bearer, weighs_the_same
from skep.cluster.numbers import holds_the_same
from skep.cluster.state import Edit
from skep.cluster.view import View
from skep.model.cluster import Cluster, Grounds, Network, Node, Task


class Attention:
    """What to look at. Dictionaries stand in for sets: they keep an order that does not vary."""

    def __init__(self) -> None:
        self.tasks: dict[str, None] = {}
        self.services: dict[str, None] = {}
        self.supplies = False
        """An address, mark or port was given back, or a network came: ask again who waits."""
        self.room = False
        """What nodes carry or can carry changed: ask again who waits for a node."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.services or self.supplies or self.room)

    def copy(self) -> Attention:
        """Another one, for a decision that may come to nothing."""
        other = Attention()
        other.tasks, other.services = self.tasks.copy(), self.services.copy()
        other.supplies, other.room = self.supplies, self.room
        return other

    def note(self, edits: Iterable[Edit], view: View) -> None:
        """Add all that some edits concern. ``view`` shows the objects from before or after them."""
        for edit in edits:
            match edit.kind:
                case "tasks":
                    self._task(edit.id, edit.old, edit.new)  # type: ignore[arg-type]
                case "services":
                    self._service(edit, view)
                case "nodes":
                    self._node(edit, view)
                case "networks":
                    self._network(edit, view)
                case "cluster":
                    self._cluster(edit, view)

    def look_at_all(self, view: View) -> None:
        """Add everything."""
        self.tasks.update(dict.fromkeys(view.tasks))
        self.services.update(dict.fromkeys(view.services))
        self.supplies = self.room = True

    def _task(self, id: str, old: Task | None, new: Task | None) -> None:
        self.tasks[id] = None
        for task in (old, new):
            if task is not None and task.service_id:
                self.services[task.service_id] = None
        before, after = bearer(old), bearer(new)
        if before or after:
            assert old or new
            same = before and after and old and new and weighs_the_same(old, new)
            self.room = self.room or not same
        if old is not None and (new is None or not holds_the_same(old, new)):
            self.supplies = True

    def _service(self, edit: Edit, view: View) -> None:
        self.services[edit.id] = None
        if edit.new is None:
            self.tasks.update((task.id, None) for task in view.tasks_of_service(edit.id))
        if edit.old is not None and (edit.new is None or not holds_the_same(edit.old, edit.new)):
            self.supplies = True

    def _node(self, edit: Edit, view: View) -> None:
        old, new = edit.old, edit.new
        assert old is None or isinstance(old, Node)
        if old and isinstance(new, Node) and _as_seen(old) == _as_seen(new):
            self.room = self.room or (old.taken, old.grounds) != (new.taken, new.grounds)
            return
        for task in view.tasks_of_node(edit.id):
            self.tasks[task.id] = None
            if task.service_id:
                self.services[task.service_id] = None
        self.services.update(dict.fromkeys(view.ids(SERVICES_EVERYWHERE)))
        self.room = True
        self.supplies = self.supplies or new is None

    def _network(self, edit: Edit, view: View) -> None:
        old, new = edit.old, edit.new
        if isinstance(old, Network) and isinstance(new, Network) and _room(old) == _room(new):
            # Only the allocator's cursor moved.
            return
        self.supplies = True
        named = new or old
        if isinstance(named, Network) and named.spec.ingress:
            self.services.update(dict.fromkeys(view.services))
        self.services.update((service.id, None) for service in view.services_of_network(edit.id))

    def _cluster(self, edit: Edit, view: View) -> None:
        match edit.old, edit.new:
            case Cluster(task_history=old), Cluster(task_history=new) if old == new:
                return
        self.services.update(dict.fromkeys(view.services))


def _room(network: Network) -> tuple[object, ...]:
    """What decides what a network can give."""
    return network.spec, [(each.config, each.config6, each.vni) for each in network.subnets]


def _as_seen(node: Node) -> Node:
    """The node without what no decision about tasks that have a node depends on."""
    unseen = {"message": "", "vtep": "", "manager_address": "", "taken": (), "grounds": Grounds()}
    return replace(node, version=0, updated_at=0.0, **unseen)
