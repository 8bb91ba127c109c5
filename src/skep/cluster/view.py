"""The reading interface that the state and a draft of its future share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from skep.cluster.index import INGRESS_NETWORK, Key
from skep.cluster.loads import Load
from skep.cluster.numbers import INGRESS, Numbers, Pool, addresses_of, number_of
from skep.model.cluster import Cluster, Config, Network, Node, Record, Secret, Service, Task
from skep.model.errors import Invalid, Missing

R = TypeVar("R", bound=Record)


class View(ABC):
    """All objects of the cluster, by id and by index."""

    @abstractmethod
    def records(self, kind: str) -> Mapping[str, Any]:
        """All objects of a kind by id."""

    @abstractmethod
    def ids(self, key: Key) -> Iterable[str]:
        """The ids of the objects under an index key (see `skep.cluster.index`)."""

    @abstractmethod
    def numbers(self, pool: Pool) -> Numbers:
        """The numbers taken from a pool (see `skep.cluster.numbers`). Not to be changed."""

    @abstractmethod
    def load_of(self, node_id: str) -> Load:
        """What a node carries. Not to be changed."""

    @abstractmethod
    def nodes_by_load(self) -> Iterator[tuple[int, str]]:
        """All nodes, those with the fewest tasks first: how many that are, and the node's id."""

    @property
    def cluster(self) -> Cluster | None:
        """The swarm's own record, None before it is made."""
        return next(iter(self.records("cluster").values()), None)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """All nodes by id."""
        return self.records("nodes")

    @property
    def networks(self) -> Mapping[str, Network]:
        """All swarm networks by id."""
        return self.records("networks")

    @property
    def services(self) -> Mapping[str, Service]:
        """All services by id."""
        return self.records("services")

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """All secrets by id."""
        return self.records("secrets")

    @property
    def configs(self) -> Mapping[str, Config]:
        """All configs by id."""
        return self.records("configs")

    @property
    def tasks(self) -> Mapping[str, Task]:
        """All tasks by id, those of history and hand-started attachments included."""
        return self.records("tasks")

    def tasks_of_service(self, service_id: str) -> list[Task]:
        """All tasks of a service, dead ones too."""
        return [self.tasks[id] for id in self.ids(("tasks", "service", service_id))]

    def tasks_of_node(self, node_id: str) -> list[Task]:
        """All tasks that were assigned to a node, dead ones and attachments too."""
        return [self.tasks[id] for id in self.ids(("tasks", "node", node_id))]

    def tasks_of_network(self, network_id: str) -> list[Task]:
        """The tasks that hold an address on a network: not observed dead."""
        return [self.tasks[id] for id in self.ids(("tasks", "network", network_id))]

    def services_of_network(self, network_id: str) -> list[Service]:
        """The services that ask for a network or have a VIP there."""
        return [self.services[id] for id in self.ids(("services", "network", network_id))]

    def service_named(self, name: str) -> Service | None:
        """The service of that name."""
        return next((self.services[id] for id in self.ids(("services", "name", name))), None)

    def network_named(self, name: str) -> Network | None:
        """The swarm network of that name."""
        return next((self.networks[id] for id in self.ids(("networks", "name", name))), None)

    def secret_named(self, name: str) -> Secret | None:
        """The secret of that name."""
        return next((self.secrets[id] for id in self.ids(("secrets", "name", name))), None)

    def config_named(self, name: str) -> Config | None:
        """The config of that name."""
        return next((self.configs[id] for id in self.ids(("configs", "name", name))), None)

    @property
    def ingress(self) -> Network | None:
        """The routing mesh's network."""
        return next((self.networks[id] for id in self.ids(INGRESS_NETWORK)), None)

    @property
    def ingress_id(self) -> str:
        """The routing mesh's network's id, "" if there is none."""
        return next(iter(self.ids(INGRESS_NETWORK)), "")

    def addresses(self, network: Network) -> tuple[Numbers, ...]:
        """The addresses that tasks, VIPs and nodes hold on a network."""
        own = self.numbers(addresses_of(network.id))
        return (own, self.numbers(addresses_of(INGRESS))) if network.spec.ingress else (own,)

    def in_use(self, network: Network, address: str) -> bool:
        """Whether a task, a VIP or a node holds the address on a network."""
        number = number_of(address)
        return any(number in taken for taken in self.addresses(network))

    def find_node(self, reference: str) -> Node:
        """By full id, host name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [self.nodes[id] for id in self.ids(("nodes", "name", reference))]
        return _find("node", self.nodes, reference, named)

    def find_network(self, reference: str) -> Network:
        """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [self.networks[id] for id in self.ids(("networks", "name", reference))]
        return _find("network", self.networks, reference, named)

    def find_service(self, reference: str) -> Service:
        """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [self.services[id] for id in self.ids(("services", "name", reference))]
        return _find("service", self.services, reference, named)

    def find_secret(self, reference: str) -> Secret:
        """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [self.secrets[id] for id in self.ids(("secrets", "name", reference))]
        return _find("secret", self.secrets, reference, named)

    def find_config(self, reference: str) -> Config:
        """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [self.configs[id] for id in self.ids(("configs", "name", reference))]
        return _find("config", self.configs, reference, named)

    def find_task(self, reference: str) -> Task:
        """By full id, name, or unique id prefix. Raises `Missing`, `Invalid` (ambiguous)."""
        named = [task for task in self.tasks.values() if task.name == reference]
        return _find("task", self.tasks, reference, named)


def _find(word: str, records: Mapping[str, R], reference: str, named: list[R]) -> R:
    if reference in records:
        return records[reference]
    found = named if reference else []
    if not found and reference:
        found = [record for id, record in records.items() if id.startswith(reference)]
    if not found:
        raise Missing(f"{word} {reference} not found")
    if len(found) > 1:
        raise Invalid(f"{word} {reference} is ambiguous ({len(found)} matches found)")
    return found[0]
