"""What users do, at random: each action may be refused, but only in words.

A new mode or feature joins by being added to `MODES`, `TEMPLATES` or `ACTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from skep.cluster import control
from skep.model.cluster import Service
from skep.model.container import ConfigReference, ContainerSpec, FileTarget, SecretReference
from skep.model.errors import Refusal
from skep.model.spec import (
    DiscreteResource,
    EndpointSpec,
    GenericResource,
    Ipam,
    IpamConfig,
    NetworkAttachmentConfig,
    NetworkSpec,
    Placement,
    PortConfig,
    Preference,
    Replicated,
    ReplicatedJob,
    Reservation,
    Resources,
    RestartPolicy,
    SecretSpec,
    ServiceMode,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    UpdateConfig,
)

SECOND = 1_000_000_000
MOST_SERVICES = 4
MOST_HOSTS = 5

MODES: tuple[Callable[[Any], ServiceMode], ...] = (
    lambda dice: ServiceMode(replicated=Replicated(replicas=dice.randint(0, 4))),
    lambda dice: ServiceMode(replicated=Replicated(replicas=dice.randint(1, 3))),
    lambda _: ServiceMode(global_={}),
    lambda dice: ServiceMode(
        replicated_job=ReplicatedJob(
            max_concurrent=dice.randint(1, 2), total_completions=dice.randint(1, 3)
        )
    ),
    lambda _: ServiceMode(global_job={}),
)


def placement(dice: Any) -> Placement:
    """Where tasks may be."""
    return dice.choice(
        (
            Placement(constraints=("node.labels.disk==ssd",)),
            Placement(constraints=("node.role==worker",)),
            Placement(max_replicas=2),
            Placement(
                preferences=(Preference(spread=SpreadOver(spread_descriptor="node.labels.disk")),)
            ),
        )
    )


def resources(dice: Any) -> Resources:
    """What is set aside for a task."""
    gpu = GenericResource(discrete_resource_spec=DiscreteResource(kind="gpu", value=1))
    return Resources(
        reservations=dice.choice(
            (
                Reservation(memory_bytes=3 << 30),
                Reservation(nano_cpus=SECOND),
                Reservation(generic_resources=(gpu,)),
            )
        )
    )


TEMPLATES: tuple[Callable[[Any], dict[str, Any]], ...] = (
    lambda _: {},
    lambda dice: {"placement": placement(dice)},
    lambda dice: {"resources": resources(dice)},
    lambda dice: {"force_update": dice.randint(1, 9)},
)


class Users:
    """All users of the swarm."""

    def __init__(self, sim: Any) -> None:
        self.sim = sim
        self.names = 0
        self.done: dict[str, int] = {}

    def act(self) -> None:
        """One of them does something."""
        action = self.sim.dice.choice(ACTIONS)
        try:
            action(self)
        except Refusal as refusal:
            self.sim.note("refused", action.__name__, str(refusal))
            assert str(refusal) and not str(refusal).startswith("Traceback")
            return
        self.done[action.__name__] = self.done.get(action.__name__, 0) + 1

    def change(self, decide: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.sim.manager.change(decide, *args, **kwargs)

    def _one(self, kind: str) -> Any:
        records = list(self.sim.manager.state.records(kind).values())
        return self.sim.dice.choice(records) if records else None

    # --- services

    def _template(self, old: TaskSpec | None = None) -> TaskSpec:
        dice, state = self.sim.dice, self.sim.manager.state
        networks = [n.id for n in state.networks.values() if not n.spec.ingress]
        chosen = dice.sample(networks, min(len(networks), dice.choice((0, 1, 1, 2))))
        container = ContainerSpec(
            image=dice.choice(("a", "b", "c")),
            hostname=dice.choice(("", "", "{{.Node.Hostname}}")),
            stop_grace_period=dice.choice((None, SECOND)),
            secrets=self._files(SecretReference, "secret"),
            configs=self._files(ConfigReference, "config"),
        )
        if old is not None:
            return replace(old, container_spec=container)
        return TaskSpec(
            container_spec=container,
            networks=tuple(NetworkAttachmentConfig(target=id) for id in chosen),
            restart_policy=RestartPolicy(
                condition=dice.choice(("any", "any", "any", "on-failure", "none")),
                delay=dice.choice((0, SECOND, 5 * SECOND)),
                max_attempts=dice.choice((None, None, 2)),
            ),
            **dice.choice(TEMPLATES)(dice),
        )

    def _files(self, reference: Any, word: str) -> tuple[Any, ...]:
        found = self._one(f"{word}s")
        if found is None or self.sim.dice.random() < 0.5:
            return ()
        ids = {f"{word}_id": found.id, f"{word}_name": found.spec.name}
        return (reference(file=FileTarget(name=found.spec.name), **ids),)

    def _update(self) -> UpdateConfig:
        dice = self.sim.dice
        return UpdateConfig(
            parallelism=dice.randint(0, 2),
            delay=dice.choice((0, 2 * SECOND)),
            order=dice.choice(("", "stop-first", "start-first")),
            failure_action=dice.choice(("pause", "continue", "rollback")),
            monitor=dice.choice((0, SECOND)),
            max_failure_ratio=dice.choice((0.0, 0.5)),
        )

    def create(self) -> None:
        """docker service create"""
        dice = self.sim.dice
        if len(self.sim.manager.state.services) >= MOST_SERVICES:
            return
        self.names += 1
        mode = dice.choice(MODES)(dice)
        job = mode.replicated_job is not None or mode.global_job is not None
        template = self._template()
        if job:
            policy = replace(template.restart_policy, condition="on-failure", max_attempts=None)
            template = replace(template, restart_policy=policy)
        resolution = dice.choice(("vip", "vip", "dnsrr"))
        ports = self._ports(host_only=resolution == "dnsrr" or job)
        self.change(control.create_service, ServiceSpec(
            name=f"s{self.names}",
            labels=dice.choice(({}, {"skep.drain": "1s"})),
            mode=mode,
            task_template=template,
            endpoint_spec=EndpointSpec(mode=resolution, ports=ports),
            update_config=None if job else self._update(),
            rollback_config=None if job else self._update(),
        ))  # fmt: skip

    def _ports(self, *, host_only: bool) -> tuple[PortConfig, ...]:
        dice = self.sim.dice
        if dice.random() < 0.5:
            return ()
        mode = "host" if host_only or dice.random() < 0.3 else "ingress"
        published = dice.choice((0, 8080, 8081))
        return (PortConfig(target_port=80, published_port=published, publish_mode=mode),)

    def _renew(self, **changes: Any) -> None:
        service: Service | None = self._one("services")
        if service is not None:
            spec = replace(service.spec, **changes)
            self.change(control.update_service, service.id, service.version, spec)

    def scale(self) -> None:
        """docker service scale"""
        self._renew(mode=ServiceMode(replicated=Replicated(replicas=self.sim.dice.randint(0, 5))))

    def update(self) -> None:
        """docker service update --image …"""
        service: Service | None = self._one("services")
        if service is not None:
            spec = replace(service.spec, task_template=self._template(service.spec.task_template))
            self.change(control.update_service, service.id, service.version, spec)

    def rewire(self) -> None:
        """docker service update --network-add, --publish-add, --constraint-add, …"""
        service: Service | None = self._one("services")
        if service is not None:
            policy = service.spec.task_template.restart_policy
            template = replace(self._template(), restart_policy=policy)
            ports = self._ports(host_only=service.spec.mode.replicated is None)
            mode = "vip" if ports else self.sim.dice.choice(("vip", "dnsrr"))
            self._renew_one(service, template, EndpointSpec(mode=mode, ports=ports))

    def _renew_one(self, service: Service, template: TaskSpec, endpoint: EndpointSpec) -> None:
        spec = replace(service.spec, task_template=template, endpoint_spec=endpoint)
        self.change(control.update_service, service.id, service.version, spec)

    def relabel(self) -> None:
        """docker service update --label-add"""
        self._renew(labels={"skep.drain": f"{self.sim.dice.randint(1, 3)}s"})

    def roll_back(self) -> None:
        """docker service rollback"""
        service: Service | None = self._one("services")
        if service is not None:
            self.change(control.rollback_service, service.id, service.version)

    def remove(self) -> None:
        """docker service rm"""
        service: Service | None = self._one("services")
        if service is not None:
            self.change(control.remove_service, service.id)

    # --- nodes

    def node(self) -> None:
        """docker node update"""
        node, dice = self._one("nodes"), self.sim.dice
        spec = replace(
            node.spec,
            availability=dice.choice(("active", "active", "drain", "pause")),
            labels=dice.choice(({}, {"disk": "ssd"}, {"disk": "hdd"})),
        )
        self.change(control.update_node, node.id, node.version, spec)

    def join(self) -> None:
        """docker swarm join"""
        if len(self.sim.manager.state.nodes) < MOST_HOSTS:
            self.sim.join()

    def leave(self) -> None:
        """docker node rm --force"""
        node = self._one("nodes")
        if len(self.sim.manager.state.nodes) > 2:
            self.change(control.remove_node, node.id, force=True)
            self.sim.dismiss(node.id)

    # --- all else

    def attach(self) -> None:
        """docker run --network …"""
        host = self.sim.some_host()
        network = self._one("networks")
        if network is None:
            return
        if len(host.hand) < 2:
            host.attach(network.id)

    def detach(self) -> None:
        """docker rm -f"""
        host = self.sim.some_host()
        if host.hand:
            host.detach(self.sim.dice.choice(list(host.hand)))

    def network(self) -> None:
        """docker network create, docker network rm"""
        dice, state = self.sim.dice, self.sim.manager.state
        if not state.ingress_id and dice.random() < 0.7:
            spec = NetworkSpec(name="ingress", driver="overlay", ingress=True)
            self.change(control.create_network, spec)
        elif state.networks and dice.random() < 0.4:
            self.change(control.remove_network, self._one("networks").id)
        elif len(state.networks) < 4:
            self.names += 1
            size = dice.choice((28, 29))
            ipam = Ipam(config=(IpamConfig(subnet=f"172.{self.names + 20}.0.0/{size}"),))
            spec = NetworkSpec(
                name=f"n{self.names}", driver="overlay", attachable=dice.random() < 0.6,
                ipam=ipam if dice.random() < 0.7 else Ipam(),
                enable_i_pv6=dice.random() < 0.3,
            )  # fmt: skip
            self.change(control.create_network, spec)

    def rotate(self) -> None:
        """docker swarm join-token --rotate, docker swarm update"""
        cluster = self.sim.manager.state.cluster
        if self.sim.dice.random() < 0.5:
            self.change(control.rotate_tokens, cluster.version, worker=True)
        else:
            settings = control.Settings(task_history=self.sim.dice.randint(1, 4))
            self.change(control.update_cluster, cluster.version, settings)

    def secret(self) -> None:
        """docker secret create, docker config rm, …"""
        dice, state = self.sim.dice, self.sim.manager.state
        word = dice.choice(("secret", "config"))
        if dice.random() < 0.3:
            found = self._one(f"{word}s")
            if found is not None:
                remove = control.remove_secret if word == "secret" else control.remove_config
                self.change(remove, found.id)
        elif len(state.records(f"{word}s")) < 2:
            self.names += 1
            create = control.create_secret if word == "secret" else control.create_config
            self.change(create, SecretSpec(name=f"f{self.names}", data=b"YQ=="))


ACTIONS = (
    Users.create, Users.create, Users.create, Users.scale, Users.scale, Users.update, Users.update,
    Users.rewire, Users.relabel, Users.roll_back, Users.remove, Users.node, Users.node, Users.join,
    Users.leave, Users.attach, Users.attach, Users.detach, Users.network, Users.rotate,
    Users.secret,
)  # fmt: skip
